declare module "adapter-under-test" {
  import type { Kit, Place } from "./device.js";
  export function open(place: Place): Promise<Kit>;
}
