/** What each rank should carry so that all are done at the same time. Pure. Shape suffix: R ranks. */

/** Targets of ranks, all of one time, which only rises. */
export class Targets {
  /** [R] */
  readonly target_R: Float64Array;
  private time = -Infinity;

  /**
   * @param capacities [R] load that each rank computes in a unit of time
   * @param inWholes targets are the whole loads that fit the time
   */
  constructor(
    private readonly capacities: Float64Array,
    private readonly inWholes: boolean,
  ) {
    this.target_R = new Float64Array(capacities.length);
  }

  /** To the shortest time in which some ranks can compute a load together; false, and nothing changes, where that is no longer than the time so far. */
  raise(load: number, ranks: ArrayLike<number>): boolean {
    const capacities = Array.from(ranks, (rank) => this.capacities[rank]!);
    const mean = load / capacities.reduce((a, b) => a + b, 0);
    const time = this.inWholes ? wholeTime(load, capacities, mean) : mean;
    if (!(time > this.time)) return false;
    this.time = time;
    for (const [rank, capacity] of this.capacities.entries()) {
      this.target_R[rank] = this.inWholes ? wholesIn(time, capacity) : time * capacity;
    }
    return true;
  }
}

/** The shortest time from `least` on in which whole loads of these capacities add up to `load`. */
function wholeTime(load: number, capacities: readonly number[], least: number): number {
  const wholes = capacities.map((capacity) => wholesIn(least, capacity));
  let time = least;
  for (let left = load - wholes.reduce((a, b) => a + b, 0); left > 0; left--) {
    const next = (i: number): number => (wholes[i]! + 1) / capacities[i]!;
    let first = 0;
    for (let i = 1; i < wholes.length; i++) if (next(i) < next(first)) first = i;
    time = Math.max(time, next(first));
    wholes[first]!++;
  }
  return time;
}

/** The most whole loads that a rank computes in a time: whatever the product rounds to, as many as by the quotient. */
function wholesIn(time: number, capacity: number): number {
  let count = Math.floor(time * capacity);
  while ((count + 1) / capacity <= time) count++;
  while (count > 0 && count / capacity > time) count--;
  return count;
}
