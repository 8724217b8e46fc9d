/** Counters of pairs of ranks, of which each rank tells its own row: summed up over all who had a seat, one after the other. */

/** [source][destination], or whatever rows and columns are. */
export class PairTotals {
  /** As it was told last. */
  private readonly last: (readonly number[] | undefined)[] = [];
  /** Of who had the seat of a row or a column before. */
  private readonly earlier: number[][] = [];

  /** What ranks count since they began, by seat; undefined: nobody tells. */
  add(rows: readonly (readonly number[] | undefined)[]): void {
    for (const [seat, row] of rows.entries()) if (row !== undefined) this.addRow(seat, row);
  }

  /** Somebody else has this seat from now on, and counts from 0. */
  begin(seat: number): void {
    const row = this.last[seat];
    if (row === undefined) return;
    this.keep(seat, row);
    this.last[seat] = row.map(() => 0);
  }

  /** Of the first `numRanks` ranks. */
  table(numRanks: number): number[][] {
    const ranks = [...Array(numRanks).keys()];
    return ranks.map((row) => ranks.map((column) => this.at(row, column)));
  }

  private at(row: number, column: number): number {
    return (this.earlier[row]?.[column] ?? 0) + (this.last[row]?.[column] ?? 0);
  }

  /** A count that falls is of somebody else: who is at the other end began anew. */
  private addRow(seat: number, row: readonly number[]): void {
    const before = this.last[seat] ?? [];
    for (let column = 0; column < row.length; column++) {
      if (row[column]! < (before[column] ?? 0)) this.earlierOf(seat)[column] = this.at(seat, column);
    }
    this.last[seat] = row;
  }

  private keep(seat: number, row: readonly number[]): void {
    for (const column of row.keys()) this.earlierOf(seat)[column] = this.at(seat, column);
  }

  private earlierOf(seat: number): number[] {
    return (this.earlier[seat] ??= []);
  }
}
