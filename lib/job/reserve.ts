/** Ranks that could be members, and how many are wanted: who joins now, and who is kept for a loss. Pure. */
export class Reserve {
  /** In the order in which they came. */
  private waiting: readonly number[] = [];

  /**
   * @param numWanted members that the job is to have: those that it begins with, at first
   * @param numSpares candidates that are kept, where nobody is wanted
   */
  constructor(
    private numWanted: number,
    readonly numSpares: number,
  ) {}

  /** Seats of those that wait. */
  get spares(): readonly number[] {
    return this.waiting;
  }

  /** A rank is ready to be a member. */
  add(rank: number): void {
    this.waiting = [...this.waiting, rank];
  }

  /** It is gone. */
  remove(rank: number): void {
    this.waiting = this.waiting.filter((each) => each !== rank);
  }

  /** So many more members are wanted, or fewer. */
  want(difference: number): void {
    this.numWanted = Math.max(1, this.numWanted + difference);
  }

  /** At least so many members are wanted. Returns by how many that is more than before. */
  raise(numWanted: number): number {
    const difference = Math.max(0, numWanted - this.numWanted);
    this.numWanted += difference;
    return difference;
  }

  /** Those who join now: whoever is wanted, and those for whom there is no use as spares. `numMembers`: those too who join already. */
  take(numMembers: number): readonly number[] {
    const numNeeded = Math.max(this.numWanted - numMembers, this.waiting.length - this.numSpares, 0);
    const taken = this.waiting.slice(0, numNeeded);
    this.waiting = this.waiting.slice(taken.length);
    this.numWanted = Math.max(this.numWanted, numMembers + taken.length);
    return taken;
  }
}
