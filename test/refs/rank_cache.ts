/** What a rank's KV cache holds after plans and frees, token by token: slow and obviously right. */
import { expect } from 'chai';
import type { ScheduledPlan } from '../../lib/head/scheduling/scheduler.js';
import type { FreeOrder } from '../../lib/protocol/step_plan.js';

interface Slot {
  readonly tokenId: number;
  /** It, or a token before it, was computed without an expert. */
  isDegraded: boolean;
}

export class RankCache {
  private readonly blocks = new Map<number, Slot[]>();
  private readonly tables = new Map<number, number[]>();

  constructor(private readonly blockSize: number) {}

  get heldBlocks(): number[] {
    return [...this.blocks.keys()];
  }

  get sequences(): number[] {
    return [...this.tables.keys()];
  }

  run({ begin, parts }: Pick<ScheduledPlan, 'begin' | 'parts'>): void {
    for (const { sequence, blocks, tokenIds } of begin) {
      this.tables.set(sequence, [...blocks]);
      expect(blocks.length * this.blockSize, 'what begins elsewhere fills its blocks').to.equal(tokenIds.length);
      const slots = this.slots(sequence, tokenIds.length);
      expect(slots, 'what is shared is what the sequence begins with').to.deep.equal(
        tokenIds.map((tokenId) => ({ tokenId, isDegraded: false })),
      );
    }
    for (const { sequence, position, tokenIds, blocks } of parts) {
      const table = this.tables.get(sequence)!;
      table.length = Math.ceil(position / this.blockSize);
      table.push(...blocks);
      expect(table.length, 'no block ahead').to.equal(Math.ceil((position + tokenIds.length) / this.blockSize));
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

  private slots(sequence: number, numTokens: number): Slot[] {
    const table = this.tables.get(sequence)!;
    return Array.from(
      { length: numTokens },
      (_, at) => this.blocks.get(table[Math.floor(at / this.blockSize)]!)![at % this.blockSize]!,
    );
  }

  private write(sequence: number, position: number, tokenId: number): void {
    const block = this.tables.get(sequence)![Math.floor(position / this.blockSize)]!;
    for (const [other, table] of this.tables) {
      if (other !== sequence && table.includes(block))
        expect.fail(`${sequence} writes block ${block}, which ${other} holds too`);
    }
    const slots = this.blocks.get(block) ?? [];
    this.blocks.set(block, slots);
    const isDegraded = position > 0 && this.slots(sequence, position).at(-1)!.isDegraded;
    slots.splice(position % this.blockSize, Infinity, { tokenId, isDegraded });
  }
}
