/** The full blocks of all sequences that were added: a number for each chain of them. */
export class BlockTree {
  private readonly chains = new Map<string, number>();

  constructor(private readonly blockSize: number) {}

  /** Tokens of the longest beginning in full blocks that was added. */
  match(ids: ArrayLike<number>): number {
    let chain = 0;
    let at = 0;
    for (; at + this.blockSize <= ids.length; at += this.blockSize) {
      const next = this.chains.get(this.keyOf(chain, ids, at));
      if (next === undefined) return at;
      chain = next;
    }
    return at;
  }

  /** A sequence that can be gone on from. */
  add(ids: ArrayLike<number>): void {
    let chain = 0;
    for (let at = 0; at + this.blockSize <= ids.length; at += this.blockSize) {
      const key = this.keyOf(chain, ids, at);
      chain = this.chains.get(key) ?? this.chains.size + 1;
      this.chains.set(key, chain);
    }
  }

  private keyOf(chain: number, ids: ArrayLike<number>, at: number): string {
    let key = String(chain);
    for (let i = at; i < at + this.blockSize; i++) key += ` ${ids[i]!}`;
    return key;
  }
}
