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

/** What a layer without keys and values knows: all tokens before a position. */
interface State {
  readonly position: number;
  readonly history: string;
  readonly isDegraded: boolean;
}

/** A block outside its cache. */
export interface HeldBlock {
  readonly slots: Slot[];
  readonly state: State | null;
}

interface RankCacheOptions {
  readonly blockSize: number;
  /** Blocks that may keep a state; null: there are no states. */
  readonly maxKept: number | null;
  /** A prompt's tokens and generated ones have other bits. */
  readonly separatesForms: boolean;
  /** Of a sequence. */
  readonly numPromptTokensOf: (sequence: number) => number;
}

export class RankCache {
  private readonly blocks = new Map<number, Slot[]>();
  private readonly tables = new Map<number, number[]>();
  /** By sequence. */
  private readonly states = new Map<number, State>();
  /** By block. */
  private readonly kept = new Map<number, State>();

  constructor(private readonly options: RankCacheOptions) {}

  get heldBlocks(): number[] {
    return [...this.blocks.keys()];
  }

  get sequences(): number[] {
    return [...this.tables.keys()];
  }

  /** `arrived`: sequences that come from another rank, and bring what they have, whatever it lacks. */
  run({ begin, parts }: Pick<ScheduledPlan, 'begin' | 'parts'>, arrived: ReadonlySet<number> = new Set()): void {
    const { blockSize, maxKept } = this.options;
    for (const { sequence, blocks, tokenIds } of begin) {
      this.tables.set(sequence, [...blocks]);
      const isPartial = arrived.has(sequence) && maxKept === null;
      const numTokens = isPartial ? blockSize * Math.ceil(tokenIds.length / blockSize) : tokenIds.length;
      expect(blocks.length * blockSize, 'what begins elsewhere fills its blocks').to.equal(numTokens);
      let history = '';
      const expected = tokenIds.map((tokenId, position): Slot => {
        history = this.extended(history, sequence, position, tokenId);
        return { tokenId, history, isDegraded: false };
      });
      const slots = this.slots(sequence, tokenIds.length).map((slot) =>
        arrived.has(sequence) ? { ...slot, isDegraded: false } : slot,
      );
      expect(slots, 'what is shared is what the sequence would compute').to.deep.equal(expected);
    }
    for (const { sequence, position, tokenIds, blocks, keeps = [] } of parts) {
      const table = this.tables.get(sequence)!;
      table.length = Math.ceil(position / blockSize);
      table.push(...blocks);
      expect(table.length, 'no block ahead').to.equal(Math.ceil((position + tokenIds.length) / blockSize));
      for (const [i, tokenId] of tokenIds.entries()) this.write(sequence, position + i, tokenId);
      this.advance(sequence, position, position + tokenIds.length, keeps);
    }
    if (maxKept !== null) expect(this.kept.size, 'states that are kept').to.be.at.most(maxKept);
  }

  free({ blocks, sequences, states = [] }: FreeOrder): void {
    for (const sequence of sequences) {
      this.tables.delete(sequence);
      this.states.delete(sequence);
    }
    for (const block of states) this.kept.delete(block);
    for (const block of blocks) {
      this.blocks.delete(block);
      this.kept.delete(block);
      // What an abandoned step appended may still be there.
      for (const table of this.tables.values()) if (table.includes(block)) table.length = table.indexOf(block);
    }
  }

  /** A block as it leaves, with the state that it keeps. */
  read(block: number, hasState: boolean): HeldBlock {
    const slots = this.blocks.get(block);
    const state = this.kept.get(block) ?? null;
    if (slots === undefined || (hasState && state === null)) return expect.fail(`block ${block} holds nothing to send`);
    return { slots: slots.map((slot) => ({ ...slot })), state: hasState ? state : null };
  }

  /** A block that came. */
  place(block: number, { slots, state }: HeldBlock): void {
    for (const [sequence, table] of this.tables)
      if (table.includes(block)) expect.fail(`block ${block} came, which ${sequence} holds`);
    this.blocks.set(
      block,
      slots.map((slot) => ({ ...slot })),
    );
    if (state === null) this.kept.delete(block);
    else this.kept.set(block, state);
  }

  /** Tokens of a sequence from a position on came from another instance; `isExact`: with the bits that they would have here. */
  bring(
    { sequence, blocks }: { readonly sequence: number; readonly blocks: readonly number[] },
    position: number,
    tokens: readonly { readonly tokenId: number; readonly isExact: boolean }[],
  ): void {
    const { blockSize } = this.options;
    for (const [i, { tokenId, isExact }] of tokens.entries()) {
      const at = position + i;
      const block = blocks[Math.floor(at / blockSize)]!;
      for (const [other, held] of this.tables)
        if (held.includes(block)) expect.fail(`block ${block} is written, which ${other} holds`);
      const before = at === 0 ? null : this.slot(blocks, at - 1);
      const history = this.extended(before?.history ?? '', sequence, at, tokenId);
      const isDegraded = !isExact || before?.isDegraded === true;
      if (!this.blocks.has(block)) this.blocks.set(block, []);
      this.blocks.get(block)!.splice(at % blockSize, Infinity, { tokenId, history, isDegraded });
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
    for (const block of table) {
      const state = this.kept.get(block);
      if (state !== undefined && state.position > position) this.kept.set(block, { ...state, isDegraded: true });
    }
  }

  /** Blocks that keep a state. */
  get keeping(): number[] {
    return [...this.kept.keys()];
  }

  /** A state goes on from where it stands, or from what a block keeps; it can't go back. */
  private advance(sequence: number, position: number, end: number, keeps: readonly number[]): void {
    if (this.options.maxKept === null) {
      expect(keeps).to.deep.equal([]);
      return;
    }
    const { blockSize } = this.options;
    const table = this.tables.get(sequence)!;
    const stateAt = (at: number): State => ({ position: at, ...this.slot(table, at - 1) });
    if (position > 0) {
      const own = this.states.get(sequence);
      const from = own?.position === position ? own : this.kept.get(table[position / blockSize - 1] ?? -1);
      if (from === undefined) return expect.fail(`sequence ${sequence} has no state at ${position}`);
      expect(from.history, 'its state').to.equal(this.slot(table, position - 1).history);
      if (from !== own) expect(from.isDegraded, 'a state that others may have').to.equal(false);
    }
    this.states.set(sequence, stateAt(end));
    for (const at of keeps) {
      expect(at % blockSize === 0 && at > position && at <= end, 'the end of a block').to.equal(true);
      this.kept.set(table[at / blockSize - 1]!, stateAt(at));
    }
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
