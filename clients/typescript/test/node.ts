// `node node.mjs`: every scenario by the client's own store.
import { open } from "./store.js";
import { tellAll } from "./telling.js";

void tellAll(open);
