import type { Status } from "./types.js";

/** What the stores of one person and app tell each other in the tabs of a browser. */
export interface Message {
  /** Keys that were changed in another tab, and are to be sent. */
  edited?: string[];
  /** Keys that are different now. */
  changed?: string[];
  /** There may be news at the server. */
  isStale?: boolean;
  /** How the tab that leads finds things to be. */
  status?: Status;
  /** A tab that has just come wants to know. */
  asks?: boolean;
}
