/** One step's tables in a kernel memory, used again for the next step. Shape suffixes: T tokens, H hidden. */
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import { Descriptor, bytesOf, writeFields } from '../../../compute/wasm/memory/descriptor.js';
import { GrowingBlock } from '../../../compute/wasm/memory/growing_block.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { KEEP, MLA_FORMS, PART, STEP } from '../../../compute/wasm/memory/layouts.js';
import { padded } from '../../../compute/wasm/memory/resident_dtype.js';
import { InternalError } from '../../../base/coded_error.js';
import type { SequencePart } from '../decoder/decoder.js';
import { attentionFactor, inverseFrequencies } from '../spec/rope_angles.js';
import type { MlaForm, ModelSpec } from '../spec/spec.js';
import type { KernelKvCache } from './kernel_kv_cache.js';

const PART_BYTES = bytesOf(PART);
const KEEP_BYTES = bytesOf(KEEP);

/** The tokens, parts, block tables and angles of the step at hand, where kernels find them. One per memory with dense weights: steps follow each other. */
export class KernelStep {
  /** Of the step at hand. */
  numTokens = 0;
  blockSize = 0;
  layerBytes = 0;
  kvDtype: KvDtype = 'f32';
  /** Of a query and a key that it sees. */
  numPairs = 0;
  private readonly hiddenSize: number;
  private readonly hiddenStride: number;
  private readonly velocities: Float64Array;
  private readonly factor: number;
  private readonly descriptor: Descriptor<typeof STEP>;
  private readonly hidden: GrowingBlock;
  private readonly parts: GrowingBlock;
  private readonly blocks: GrowingBlock;
  private readonly keeps: GrowingBlock;
  private readonly angles: GrowingBlock;
  /** What indexers choose. */
  private readonly chosen: GrowingBlock;
  private readonly indexTopk: number;
  /** Of the step at hand. */
  private chosenBytes = 0;
  private readonly scratch: GrowingBlock;

  /** `form`: of latent attention; other attention has one only. */
  constructor(
    readonly memory: KernelMemory,
    { hiddenSize, rope, attention }: Pick<ModelSpec, 'hiddenSize' | 'rope' | 'attention'>,
    private readonly form: MlaForm,
  ) {
    const none = { x: 0, numTokens: 0, parts: 0, numParts: 0, angles: 0, chosen: 0, scratch: 0, scratchBytes: 0 };
    this.indexTopk = attention.kind === 'mla' ? (attention.indexer?.topk ?? 0) : 0;
    this.hiddenSize = hiddenSize;
    this.hiddenStride = padded(hiddenSize);
    this.velocities = inverseFrequencies(rope);
    this.factor = attentionFactor(rope.scaling);
    this.descriptor = new Descriptor(memory, STEP, none);
    this.hidden = new GrowingBlock(memory);
    this.parts = new GrowingBlock(memory);
    this.blocks = new GrowingBlock(memory);
    this.keeps = new GrowingBlock(memory);
    this.angles = new GrowingBlock(memory);
    this.chosen = new GrowingBlock(memory);
    this.scratch = new GrowingBlock(memory);
  }

  /** Of the hidden states x_TH: rows of padded(H) floats, zeros in the padding. Valid until the next {@link prepare}. */
  get x(): number {
    return this.hidden.address;
  }

  /**
   * The next step: `parts` of `numTokens` tokens. Hidden states are to be written then, to {@link x}.
   * @throws InternalError for tables and parts that can't be, and the step must not run; ExpertError OUT_OF_MEMORY
   */
  prepare(parts: readonly SequencePart[], numTokens: number, cache: KernelKvCache): void {
    for (const part of parts) checkPart(part, numTokens);
    const tables: number[] = [];
    const starts = parts.map(({ blocks, position, numTokens: count }) => {
      const start = tables.length;
      cache.addressesOf(blocks, position + count, tables);
      return start;
    });
    const states = parts.map((part) => cache.statesOf(part));
    const kept = states.map((each) => each?.kept ?? []);
    // Every block of memory before the first view of it: views go stale when memory grows.
    const x = this.hidden.reserve(4 * numTokens * this.hiddenStride);
    const partsAt = this.parts.reserve(PART_BYTES * parts.length);
    const blocksAt = this.blocks.reserve(4 * tables.length);
    let keepsAt = this.keeps.reserve(KEEP_BYTES * kept.flat().length);
    const angles = this.angles.reserve(8 * numTokens * this.velocities.length);
    this.chosenBytes = this.isChoosing(parts) ? 4 * numTokens * this.indexTopk : 0;
    const chosen = this.chosen.reserve(this.chosenBytes);
    this.memory.words(blocksAt, tables.length).set(tables);
    parts.forEach((part, i) => {
      const { rowStart, numTokens: count, position } = part;
      const fields = {
        rowStart,
        numTokens: count,
        position,
        form: this.formOf(part),
        blocks: blocksAt + 4 * starts[i]!,
        state: states[i]?.own ?? 0,
        keeps: keepsAt,
        numKeeps: kept[i]!.length,
      };
      writeFields(this.memory, partsAt + i * PART_BYTES, PART, fields);
      for (const { numTokens: behind, address: state } of kept[i]!) {
        writeFields(this.memory, keepsAt, KEEP, { numTokens: behind, state });
        keepsAt += KEEP_BYTES;
      }
    });
    this.writeAngles(parts, angles, numTokens);
    this.numTokens = numTokens;
    this.numPairs = parts.reduce((sum, { numTokens: own, position }) => sum + own * (position + own / 2), 0);
    this.blockSize = cache.blockSize;
    this.layerBytes = cache.layerBytes;
    this.kvDtype = cache.dtype;
    this.descriptor.set({ x, numTokens, parts: partsAt, numParts: parts.length, angles, chosen });
  }

  /** Hidden states become those of the same step in another memory, of some rows; or of all, with what an indexer chose. */
  copyFrom(other: KernelStep, rows?: readonly number[]): void {
    const rowBytes = 4 * this.hiddenStride;
    const runs = rows === undefined ? [{ row: 0, count: this.numTokens }] : rows.map((row) => ({ row, count: 1 }));
    for (const { row, count } of runs) {
      const [at, length] = [row * rowBytes, count * rowBytes];
      this.memory.bytes(this.x + at, length).set(other.memory.bytes(other.x + at, length));
    }
    const numChosen = rows === undefined ? this.chosenBytes : 0;
    if (numChosen > 0)
      this.memory.bytes(this.chosen.address, numChosen).set(other.memory.bytes(other.chosen.address, numChosen));
    this.memory.countCopy(runs.reduce((sum, { count }) => sum + count * rowBytes, numChosen));
  }

  /** A copy of some rows of the hidden states, [n·H]. */
  read(rows: readonly number[]): Float32Array<ArrayBuffer> {
    const { hiddenSize, hiddenStride, numTokens } = this;
    const x = this.memory.floats(this.x, numTokens * hiddenStride);
    const copy = new Float32Array(rows.length * hiddenSize);
    rows.forEach((row, i) => copy.set(x.subarray(row * hiddenStride, row * hiddenStride + hiddenSize), i * hiddenSize));
    this.memory.countCopy(copy.byteLength);
    return copy;
  }

  /**
   * Calls a kernel that takes the step's address, and returns the bytes of scratch memory that it lacks, 0 = done. What it returns is a promise where other threads
   * compute. @throws ExpertError OUT_OF_MEMORY, THREAD_FAILED
   */
  run(kernel: (step: number) => number | Promise<number>): Promise<void> | undefined {
    return this.runIn(() => kernel(this.descriptor.address));
  }

  /** The same for a kernel that takes the scratch memory only. */
  runIn(kernel: (scratch: number, scratchBytes: number) => number | Promise<number>): Promise<void> | undefined {
    const call = (): number | Promise<number> => kernel(this.scratch.address, this.scratch.numBytes);
    const checkContent = (missing: number): undefined => {
      if (missing !== 0) throw new InternalError('a kernel asked for memory twice');
    };
    return after(call(), (missing) => {
      if (missing === 0) return undefined;
      this.growScratch(missing >>> 0);
      return after(call(), checkContent);
    });
  }

  /** Scratch memory of so many bytes, for a kernel that doesn't ask for it. @throws ExpertError OUT_OF_MEMORY */
  scratchOf(numBytes: number): number {
    if (numBytes > this.scratch.numBytes) this.growScratch(numBytes);
    return this.scratch.address;
  }

  /** Frees all blocks, the hidden states too. */
  dispose(): void {
    const { descriptor, hidden, parts, blocks, keeps, angles, chosen, scratch } = this;
    for (const part of [descriptor, hidden, parts, blocks, keeps, angles, chosen, scratch]) part.dispose();
  }

  private growScratch(numBytes: number): void {
    try {
      this.scratch.reserve(numBytes);
    } finally {
      // Without memory too: the old block is gone then.
      this.descriptor.set({ scratch: this.scratch.address, scratchBytes: this.scratch.numBytes });
    }
  }

  /** Whether a token sees more keys than an indexer chooses. */
  private isChoosing(parts: readonly SequencePart[]): boolean {
    return this.indexTopk > 0 && parts.some(({ position, numTokens: own }) => position + own > this.indexTopk);
  }

  private formOf({ isPrompt }: SequencePart): number {
    return MLA_FORMS.indexOf(this.form === 'auto' ? (isPrompt ? 'naive' : 'absorbed') : this.form);
  }

  /** Per token the cosines of all channel pairs, then the sines. */
  private writeAngles(parts: readonly SequencePart[], address: number, numTokens: number): void {
    const { velocities, factor } = this;
    const numPairs = velocities.length;
    const values = this.memory.floats(address, 2 * numTokens * numPairs);
    for (const { rowStart, numTokens: count, position } of parts) {
      for (let t = 0; t < count; t++) {
        const at = 2 * (rowStart + t) * numPairs;
        for (let i = 0; i < numPairs; i++) {
          const angle = (position + t) * velocities[i]!;
          values[at + i] = Math.cos(angle) * factor;
          values[at + numPairs + i] = Math.sin(angle) * factor;
        }
      }
    }
  }
}

/** At once where the result is there. */
function after(
  result: number | Promise<number>,
  next: (result: number) => Promise<void> | undefined,
): Promise<void> | undefined {
  return typeof result === 'number' ? next(result) : result.then(next);
}

/** Positions beyond it would overflow the kernels' whole numbers. */
const MAX_POSITION = 2 ** 30;

function checkPart({ rowStart, numTokens: count, position }: SequencePart, numTokens: number): void {
  const isWhole = [rowStart, count, position].every((n) => Number.isInteger(n) && n >= 0);
  if (isWhole && rowStart + count <= numTokens && position + count <= MAX_POSITION) return;
  throw new InternalError(
    `a part of ${count} tokens from row ${rowStart}, position ${position}, in a step of ${numTokens} tokens`,
  );
}
