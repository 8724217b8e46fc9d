/** Which rows go to which local experts, as tables of numbers. N received rows, K choices per row, M (row, choice) pairs that are local, G experts that get some. */

/** The pairs of a layer, expert by expert. The tables may be longer than what they hold, and are somebody's who fills them again for the next layer. */
export interface ExpertGroups<E> {
  /** [G] */
  readonly experts: readonly E[];
  /** [G+1] numbers: the pairs of expert g are `choices[starts[g]]` … `choices[starts[g + 1] − 1]`; `starts[G]` is M. */
  readonly starts: Int32Array;
  /** [M] n·K + k for choice k of row n, ascending within an expert. */
  readonly choices: Int32Array;
}

/** Tables that are filled anew for each layer. Why: docs/decisions/exchange.md#rows-are-computed-in-groups */
export class GroupTables<E> implements ExpertGroups<E> {
  readonly experts: E[] = [];
  starts = new Int32Array(1);
  choices = new Int32Array(0);
  /** By slot: how many pairs it gets, then where its next one goes. */
  private places = new Int32Array(0);

  /**
   * A stable counting sort of slots [N·K], −1 = elsewhere, by slot: what it gives is itself.
   * @throws what `expertOf` throws for a slot that holds nothing
   */
  fill(slots: Int32Array, expertOf: (slot: number) => E): this {
    let most = -1;
    for (let i = 0; i < slots.length; i++) if (slots[i]! > most) most = slots[i]!;
    this.reserve(most + 1, slots.length);
    const { places, choices, starts, experts } = this;
    for (let i = 0; i < slots.length; i++) if (slots[i]! >= 0) places[slots[i]!]!++;
    experts.length = 0;
    let next = 0;
    for (let slot = 0; slot <= most; slot++) {
      const count = places[slot]!;
      if (count === 0) continue;
      experts.push(expertOf(slot));
      places[slot] = next;
      next += count;
      starts[experts.length] = next;
    }
    for (let i = 0; i < slots.length; i++) if (slots[i]! >= 0) choices[places[slots[i]!]!++] = i;
    return this;
  }

  private reserve(numSlots: number, numChoices: number): void {
    if (this.places.length < numSlots) {
      this.places = new Int32Array(numSlots);
      this.starts = new Int32Array(numSlots + 1);
    } else this.places.fill(0, 0, numSlots);
    if (this.choices.length < numChoices) this.choices = new Int32Array(numChoices);
  }
}

/** M */
export const numPairsOf = ({ experts, starts }: ExpertGroups<unknown>): number => starts[experts.length]!;

/** Where each choice's row lies among rows that lie expert by expert: choice → row, −1 for those of other ranks. */
export function rowOfChoice(groups: ExpertGroups<unknown>, numChoices: number): Int32Array {
  const rows = new Int32Array(numChoices).fill(-1);
  const numPairs = numPairsOf(groups);
  for (let row = 0; row < numPairs; row++) rows[groups.choices[row]!] = row;
  return rows;
}
