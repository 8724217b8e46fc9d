/**
 * Where one memory computes: received rows, what experts make of them, and the tables that tell which. One block, kept from call to call.
 * Shape suffixes: N received rows, H hidden, K choices per row, M (row, choice) pairs.
 */
import { GrowingBlock } from '../memory/growing_block.js';
import { expertsScratchBytes, multiplyAddsOf, type KernelExpert } from './kernel_expert.js';
import type { KernelMemory, Kernels } from '../memory/kernel_memory.js';
import { padded } from '../memory/resident_dtype.js';

/** The (row, choice) pairs of one expert: n·K + k for choice k of row n. */
export interface KernelGroup {
  readonly expert: KernelExpert;
  readonly choices: readonly number[];
}

/** What a workspace holds: bytes, then addresses, of its areas. */
interface Areas {
  readonly scratch: number;
  /** f32 [N · padded H] */
  readonly x: number;
  /** f32 [M · H] */
  readonly y: number;
  /** f32 [N · H] */
  readonly out: number;
  /** Four words per group (ffn.as.ts). */
  readonly groups: number;
  /** i32 [M]: rows of x. */
  readonly rows: number;
  /** i32 [N · K]: rows of y, −1 = none. */
  readonly rowOfChoice: number;
  /** f32 [N · K] */
  readonly weights: number;
}

const ALIGN_BYTES = 64;
const NOWHERE: Areas = { scratch: 0, x: 0, y: 0, out: 0, groups: 0, rows: 0, rowOfChoice: 0, weights: 0 };

/** The largest call on the experts of a memory. */
export interface WorkspaceSize {
  readonly hidden: number;
  readonly intermediate: number;
  /** K */
  readonly numTopk: number;
  /** N */
  readonly numRows: number;
  /** M */
  readonly numPairs: number;
  /** Experts that get rows. */
  readonly numGroups: number;
  /** That compute in the memory. */
  readonly numThreads: number;
}

/** Of a workspace: for rows that come in and for what is made of them, and what the kernel needs besides. */
export function workspaceBytes(size: WorkspaceSize): { readonly rows: number; readonly scratch: number } {
  const { scratch, ...others } = areasOf(size);
  return { rows: Object.values(others).reduce((sum, bytes) => sum + aligned(bytes), 0), scratch: aligned(scratch) };
}

function areasOf({ numRows, numPairs, numTopk, numGroups, numThreads, ...shape }: WorkspaceSize): Areas {
  const { hidden } = shape;
  return {
    scratch: expertsScratchBytes(shape, numPairs, numThreads),
    x: 4 * numRows * padded(hidden),
    y: 4 * numPairs * hidden,
    out: 4 * numRows * hidden,
    groups: 16 * numGroups,
    rows: 4 * numPairs,
    rowOfChoice: 4 * numRows * numTopk,
    weights: 4 * numRows * numTopk,
  };
}

const aligned = (numBytes: number): number => Math.ceil(numBytes / ALIGN_BYTES) * ALIGN_BYTES;

/** The areas of one memory that a call on its experts needs. They grow to the largest call so far. */
export class KernelWorkspace {
  private readonly block: GrowingBlock;
  /** Of the last run. */
  private at = NOWHERE;

  constructor(
    private readonly memory: KernelMemory,
    private readonly hidden: number,
    private readonly numTopk: number,
  ) {
    this.block = new GrowingBlock(memory);
  }

  /**
   * The first rows of y become what the groups' experts make of their rows of x, in the groups' order; y has `numPairs` rows. Other threads compute where it takes
   * long; the next call must wait for it. @throws ExpertError OUT_OF_MEMORY, THREAD_FAILED
   */
  async run(groups: readonly KernelGroup[], recvX: Float32Array, numPairs: number): Promise<void> {
    const args = this.prepare(groups, recvX, numPairs);
    const work = groups.reduce((sum, { expert, choices }) => sum + multiplyAddsOf(expert.shape, choices.length), 0);
    await this.memory.call('experts', work, ...args);
  }

  private prepare(
    groups: readonly KernelGroup[],
    recvX: Float32Array,
    numPairs: number,
  ): Parameters<Kernels['experts']> {
    const { hidden, numTopk, memory } = this;
    const intermediate = Math.max(...groups.map(({ expert }) => expert.shape.intermediate));
    const numRows = recvX.length / hidden;
    const size = { hidden, intermediate, numTopk, numRows, numPairs, numGroups: groups.length };
    this.reserve(areasOf({ ...size, numThreads: memory.numThreads }));
    const { scratch, x, y, groups: table, rows } = this.at;
    this.copyIn(recvX);
    this.writeTables(groups);
    return [x, table, groups.length, rows, scratch, y, this.hidden];
  }

  /** Rows of y; the view is valid until something is allocated in the memory. */
  yRows(first: number, count: number): Float32Array {
    return this.memory.floats(this.at.y + 4 * first * this.hidden, count * this.hidden);
  }

  /** [N·H]: the sums, in ascending order of choices, of weight · row of y. */
  sum(rowOfChoice: Int32Array, weights: Float32Array): Float32Array<ArrayBuffer> {
    const { memory, hidden, numTopk, at } = this;
    const numRows = rowOfChoice.length / numTopk;
    memory.words(at.rowOfChoice, rowOfChoice.length).set(rowOfChoice);
    memory.copyIn(at.weights, weights);
    memory.kernels.sumChoices(at.y, at.rowOfChoice, at.weights, numRows, numTopk, hidden, at.out);
    return memory.copyOut(at.out, numRows * hidden);
  }

  /** Idempotent; the next run takes memory again. */
  dispose(): void {
    this.block.dispose();
  }

  private reserve(sizes: Areas): void {
    const ends = new Map<string, number>();
    let numBytes = 0;
    for (const [name, size] of Object.entries(sizes) as [string, number][]) {
      ends.set(name, numBytes);
      numBytes += aligned(size);
    }
    const address = this.block.reserve(numBytes);
    this.at = Object.fromEntries([...ends].map(([name, start]) => [name, address + start])) as unknown as Areas;
  }

  private copyIn(recvX: Float32Array): void {
    const { memory, hidden } = this;
    const stride = padded(hidden);
    if (stride === hidden) return memory.copyIn(this.at.x, recvX);
    const x = memory.floats(this.at.x, (recvX.length / hidden) * stride);
    memory.countCopy(recvX.byteLength);
    for (let from = 0, to = 0; from < recvX.length; from += hidden, to += stride) {
      x.set(recvX.subarray(from, from + hidden), to);
      x.fill(0, to + hidden, to + stride);
    }
  }

  private writeTables(groups: readonly KernelGroup[]): void {
    const { memory, at, numTopk } = this;
    const numOwn = groups.reduce((sum, { choices }) => sum + choices.length, 0);
    const table = memory.words(at.groups, 4 * groups.length);
    const rows = memory.words(at.rows, numOwn);
    let next = 0;
    groups.forEach(({ expert, choices }, i) => {
      table.set([expert.gate.address, expert.up.address, expert.down.address, choices.length], 4 * i);
      for (const choice of choices) rows[next++] = Math.floor(choice / numTopk);
    });
  }
}
