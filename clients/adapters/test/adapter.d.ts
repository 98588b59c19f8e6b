declare module "adapter-under-test" {
  import type { Kit, Place } from "../../typescript/test/device.js";
  export function open(place: Place): Promise<Kit>;
}
