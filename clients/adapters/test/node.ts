// `node node.cjs`: the scenarios by one adapter.
import { tellAll } from "../../typescript/test/telling.js";
import { open } from "adapter-under-test";

void tellAll(open, 60_000);
