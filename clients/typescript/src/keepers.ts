import { UnsentWork } from "./errors.js";

/** Who keeps a person's data: asked before they sign out, and told after it. */
export interface Keeper {
  /** How many changes were not sent yet, once it was tried to send them. */
  unsent(): Promise<number>;
  /** Forget the person's data. */
  leave(): Promise<void>;
  /**
   * Be told that a guest was merged. Who has this takes over what a guest left unsent; who has not is treated as at a
   * sign-out where a guest turns out to be somebody else.
   */
  join?(): void;
}

/** @throws UnsentWork where changes could not be sent that would be lost by what is to come. */
export async function seeThatAllIsSent(keepers: Keeper[]): Promise<void> {
  const counts = await Promise.all(keepers.map((keeper) => keeper.unsent()));
  const count = counts.reduce((sum, each) => sum + each, 0);
  if (count > 0) throw new UnsentWork(count);
}
