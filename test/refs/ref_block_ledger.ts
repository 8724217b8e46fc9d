/** A block ledger without any cleverness: every holder is an entry of a list, every block remembers the tokens that it was sealed with. */
export class RefBlockLedger {
  /** The block of each holding. */
  private readonly holders: { readonly block: number }[] = [];
  private sealed: { readonly block: number; readonly tokenIds: string }[] = [];
  /** Least recently used first. */
  private cached: number[] = [];
  numEvicted = 0;

  constructor(private readonly numBlocks: number) {}

  isFree(block: number): boolean {
    return !this.isHeld(block) && !this.cached.includes(block);
  }

  get numFree(): number {
    return Array.from({ length: this.numBlocks }, (_, block) => block).filter((block) => this.isFree(block)).length;
  }

  /** Of blocks whose content is known, cached or held. */
  get sealedTokens(): string[] {
    return this.sealed.map(({ tokenIds }) => tokenIds);
  }

  get numCached(): number {
    return this.cached.length;
  }

  /** Sealed blocks, cached or held, whose tokens before them no sealed block holds any more: nobody can find them. */
  unreachable(blockSize: number): number[] {
    const lost = this.sealed.filter(({ tokenIds }) => {
      const before = tokenIds.split(',').slice(0, -blockSize).join();
      return before !== '' && !this.sealed.some((each) => each.tokenIds === before);
    });
    return lost.map(({ block }) => block);
  }

  hold(blocks: readonly number[]): void {
    this.holders.push(...blocks.map((block) => ({ block })));
    this.cached = this.cached.filter((block) => !blocks.includes(block));
  }

  evict(count: number): number[] {
    const evicted = this.cached.splice(0, Math.max(count, 0));
    this.numEvicted += evicted.length;
    this.forgetFree();
    return evicted;
  }

  /** In order of position. */
  release(blocks: readonly number[]): number[] {
    for (const block of [...blocks].reverse()) {
      this.holders.splice(
        this.holders.findIndex((each) => each.block === block),
        1,
      );
      const own = this.sealed.find((each) => each.block === block);
      if (own === undefined || this.isHeld(block)) continue;
      const equal = this.sealed.find((each) => each.block !== block && each.tokenIds === own.tokenIds)?.block;
      if (equal !== undefined && this.isHeld(equal)) continue;
      this.cached = [...this.cached.filter((each) => each !== equal), equal ?? block];
    }
    this.forgetFree();
    return blocks.filter((block) => this.isFree(block));
  }

  /** `tokenIds`: of this block and all before it. */
  seal(block: number, tokenIds: readonly number[]): void {
    if (!this.sealed.some((each) => each.block === block)) this.sealed.push({ block, tokenIds: tokenIds.join() });
  }

  match(tokenIds: readonly number[], blockSize: number): number[] {
    const blocks: number[] = [];
    for (let end = blockSize; end <= tokenIds.length; end += blockSize) {
      const found = this.sealed.find((each) => each.tokenIds === tokenIds.slice(0, end).join());
      if (found === undefined) break;
      blocks.push(found.block);
    }
    return blocks;
  }

  private isHeld(block: number): boolean {
    return this.holders.some((each) => each.block === block);
  }

  private forgetFree(): void {
    this.sealed = this.sealed.filter(({ block }) => !this.isFree(block));
  }
}
