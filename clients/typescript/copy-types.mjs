// `tsc` makes no output of a declaration file, and the declarations that it makes refer to this one.
import { copyFileSync } from "node:fs";

copyFileSync(new URL("src/schema.d.ts", import.meta.url), new URL("dist/schema.d.ts", import.meta.url));
