/** The tokens of one dispatch that lost an expert, because the rank that holds it is masked. */

export class DegradedTokens {
  readonly #rows = new Set<number>();

  get numTokens(): number {
    return this.#rows.size;
  }

  /** Source rows, ascending. */
  rows(): Int32Array {
    return Int32Array.from(this.#rows).sort();
  }

  /** Marks source rows; a row counts once. */
  add(rows: Iterable<number>): void {
    for (const row of rows) this.#rows.add(row);
  }
}
