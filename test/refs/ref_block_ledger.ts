/** A block ledger without any cleverness: every holder is an entry of a list, every block remembers the tokens that it was sealed with. */
export class RefBlockLedger {
  /** The block of each holding. */
  private readonly holders: { readonly block: number }[] = [];
  private sealed: { readonly block: number; readonly tokenIds: string }[] = [];

  constructor(private readonly numBlocks: number) {}

  isFree(block: number): boolean {
    return !this.holders.some((each) => each.block === block);
  }

  get numFree(): number {
    return Array.from({ length: this.numBlocks }, (_, block) => block).filter((block) => this.isFree(block)).length;
  }

  hold(blocks: readonly number[]): void {
    this.holders.push(...blocks.map((block) => ({ block })));
  }

  release(blocks: readonly number[]): number[] {
    for (const block of blocks)
      this.holders.splice(
        this.holders.findIndex((each) => each.block === block),
        1,
      );
    this.sealed = this.sealed.filter(({ block }) => !this.isFree(block));
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
}
