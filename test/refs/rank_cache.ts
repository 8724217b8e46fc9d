/** What a rank's KV cache holds after plans and frees, token by token: slow and obviously right. */
import { expect } from 'chai';
import type { ScheduledPlan } from '../../lib/head/scheduling/scheduler.js';
import type { FreeOrder } from '../../lib/protocol/step_plan.js';

interface Slot {
  readonly tokenId: number;
  /** Every token that its bits depend on, itself too, each with how it was computed. */
  readonly history: string;
  /** It, or a token before it, was computed without an expert. */
  isDegraded: boolean;
}

interface RankCacheOptions {
  readonly blockSize: number;
  /** A prompt's tokens and generated ones have other bits. */
  readonly separatesForms: boolean;
  /** Of a sequence. */
  readonly numPromptTokensOf: (sequence: number) => number;
}

export class RankCache {
  private readonly blocks = new Map<number, Slot[]>();
  private readonly tables = new Map<number, number[]>();

  constructor(private readonly options: RankCacheOptions) {}

  get heldBlocks(): number[] {
    return [...this.blocks.keys()];
  }

  get sequences(): number[] {
    return [...this.tables.keys()];
  }

  run({ begin, parts }: Pick<ScheduledPlan, 'begin' | 'parts'>): void {
    const { blockSize } = this.options;
    for (const { sequence, blocks, tokenIds } of begin) {
      this.tables.set(sequence, [...blocks]);
      expect(blocks.length * blockSize, 'what begins elsewhere fills its blocks').to.equal(tokenIds.length);
      let history = '';
      const expected = tokenIds.map((tokenId, position): Slot => {
        history = this.extended(history, sequence, position, tokenId);
        return { tokenId, history, isDegraded: false };
      });
      const slots = this.slots(sequence, tokenIds.length);
      expect(slots, 'what is shared is what the sequence would compute').to.deep.equal(expected);
    }
    for (const { sequence, position, tokenIds, blocks } of parts) {
      const table = this.tables.get(sequence)!;
      table.length = Math.ceil(position / blockSize);
      table.push(...blocks);
      expect(table.length, 'no block ahead').to.equal(Math.ceil((position + tokenIds.length) / blockSize));
      for (const [i, tokenId] of tokenIds.entries()) this.write(sequence, position + i, tokenId);
    }
  }

  free({ blocks, sequences }: FreeOrder): void {
    for (const sequence of sequences) this.tables.delete(sequence);
    for (const block of blocks) {
      this.blocks.delete(block);
      // What an abandoned step appended may still be there.
      for (const table of this.tables.values()) if (table.includes(block)) table.length = table.indexOf(block);
    }
  }

  /** The first tokens of a sequence. */
  tokens(sequence: number, numTokens: number): number[] {
    return this.slots(sequence, numTokens).map(({ tokenId }) => tokenId);
  }

  /** A token that was computed without an expert, and all that saw it: those too that are there already behind it. */
  degrade(sequence: number, position: number): void {
    const table = this.tables.get(sequence)!;
    const slots = table.flatMap((block) => this.blocks.get(block) ?? []);
    for (const slot of slots.slice(position)) slot.isDegraded = true;
  }

  private extended(history: string, sequence: number, position: number, tokenId: number): string {
    const isGenerated = this.options.separatesForms && position >= this.options.numPromptTokensOf(sequence);
    return `${history} ${isGenerated ? 'generated ' : ''}${tokenId}`;
  }

  private slots(sequence: number, numTokens: number): Slot[] {
    const table = this.tables.get(sequence)!;
    return Array.from({ length: numTokens }, (_, at) => this.slot(table, at));
  }

  private slot(table: readonly number[], at: number): Slot {
    const { blockSize } = this.options;
    return this.blocks.get(table[Math.floor(at / blockSize)]!)![at % blockSize]!;
  }

  private write(sequence: number, position: number, tokenId: number): void {
    const { blockSize } = this.options;
    const table = this.tables.get(sequence)!;
    const block = table[Math.floor(position / blockSize)]!;
    for (const [other, held] of this.tables) {
      if (other !== sequence && held.includes(block))
        expect.fail(`${sequence} writes block ${block}, which ${other} holds too`);
    }
    if (position % blockSize === 0 && !this.blocks.has(block)) this.blocks.set(block, []);
    const before = position === 0 ? null : this.slot(table, position - 1);
    const history = this.extended(before?.history ?? '', sequence, position, tokenId);
    const isDegraded = before?.isDegraded === true;
    this.blocks.get(block)!.splice(position % blockSize, Infinity, { tokenId, history, isDegraded });
  }
}
