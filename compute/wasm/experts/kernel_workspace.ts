/**
 * Where one memory computes: received rows, what experts make of them, and the tables that tell which. Kept from call to call.
 * Shape suffixes: N received rows, H hidden, K choices per row, M (row, choice) pairs.
 */
import type { ReceivedRows } from '../../../base/received_rows.js';
import type { ExpertGroups } from '../../base/expert_groups.js';
import { GrowingBlock } from '../memory/growing_block.js';
import { expertsScratchBytes, multiplyAddsOf, type KernelExpert } from './kernel_expert.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import { KernelRows } from '../memory/kernel_rows.js';
import { padded } from '../memory/resident_dtype.js';

/** What a workspace holds: bytes, then addresses, of its areas, in this order. */
interface Areas {
  readonly scratch: number;
  /** f32 [N · padded H]; none where the rows are in the memory already. */
  readonly x: number;
  /** f32 [M · H] */
  readonly y: number;
  /** f32 [N · H] */
  readonly out: number;
  /** Five words per group (ffn.as.ts), then i32 [M] rows of x, then i32 [N · K] rows of y, −1 = none. */
  readonly tables: number;
  /** f32 [N · K] */
  readonly weights: number;
}

const ALIGN_BYTES = 64;
const GROUP_WORDS = 5;

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

function areasOf(size: WorkspaceSize): Areas {
  const { hidden, numRows, numPairs, numTopk, numGroups, numThreads } = size;
  return {
    scratch: expertsScratchBytes(size, numPairs, numThreads),
    x: 4 * numRows * padded(hidden),
    y: 4 * numPairs * hidden,
    out: 4 * numRows * hidden,
    tables: 4 * (GROUP_WORDS * numGroups + numPairs + numRows * numTopk),
    weights: 4 * numRows * numTopk,
  };
}

const aligned = (numBytes: number): number => Math.ceil(numBytes / ALIGN_BYTES) * ALIGN_BYTES;

/** Groups of one call that are computed in one memory: those that `order` names from place `from` to before `to`. */
export interface KernelShare {
  readonly groups: ExpertGroups<KernelExpert>;
  readonly order: Int32Array;
  readonly from: number;
  readonly to: number;
  /** Their pairs. */
  readonly numPairs: number;
}

/** What a call needs room for, over all shares that one workspace computes of it. */
export interface WorkspaceRoom extends Pick<WorkspaceSize, 'intermediate' | 'numPairs' | 'numGroups'> {
  /** Of the {@link KernelWorkspace.sum} that follows; null: there is none. */
  readonly sumTurn: number | null;
}

/** The areas of one memory that a call on its experts needs. They grow to the largest call so far. */
export class KernelWorkspace {
  private readonly block: GrowingBlock;
  /** By turn: sums stay while other turns compute. */
  private readonly sums: GrowingBlock[] = [];
  /** Of the call that it was prepared for. */
  private scratchAt = 0;
  private xAt = 0;
  private yAt = 0;
  private tablesAt = 0;
  private rowOfChoiceAt = 0;
  private weightsAt = 0;

  constructor(
    readonly memory: KernelMemory,
    private readonly hidden: number,
    private readonly numTopk: number,
  ) {
    this.block = new GrowingBlock(memory);
  }

  /** Takes a call's rows, and room for what becomes of them. @throws ExpertError OUT_OF_MEMORY */
  prepare(recv: ReceivedRows, { intermediate, numPairs, numGroups, sumTurn }: WorkspaceRoom): void {
    const { memory, hidden, numTopk } = this;
    const { numRecvTokens: numRows } = recv;
    const { numThreads } = memory;
    const areas = areasOf({ hidden, intermediate, numTopk, numRows, numPairs, numGroups, numThreads });
    const own = this.ownAddress(recv);
    const xBytes = own === null ? aligned(areas.x) : 0;
    const numBytes = sumOf(areas) - aligned(areas.out) - aligned(areas.x) + xBytes;
    this.scratchAt = this.reserve(numBytes, areas.out, sumTurn);
    const xAt = this.scratchAt + aligned(areas.scratch);
    this.yAt = xAt + xBytes;
    this.tablesAt = this.yAt + aligned(areas.y);
    this.rowOfChoiceAt = this.tablesAt + 4 * (GROUP_WORDS * numGroups + numPairs);
    this.weightsAt = this.tablesAt + aligned(areas.tables);
    this.xAt = own ?? xAt;
    if (own === null) this.copyIn(recv, xAt);
  }

  /**
   * Rows of y from `first` on become what the share's experts make of their rows of x, in its order. Other threads compute where it takes long: the next call must wait
   * for it then. @throws ExpertError THREAD_FAILED
   */
  run(share: KernelShare, first = 0): number | Promise<number> {
    const { memory, hidden, xAt, tablesAt, scratchAt } = this;
    const { groups, order, from, to } = share;
    let work = 0;
    for (let i = from; i < to; i++)
      work += multiplyAddsOf(groups.experts[order[i]!]!.shape, countOf(groups, order[i]!));
    const rows = this.writeTables(share, tablesAt);
    const yAt = this.yAt + 4 * first * hidden;
    return memory.call('experts', work, xAt, tablesAt, to - from, rows, scratchAt, yAt, hidden);
  }

  /** Rows of y; the view is valid until something is allocated in the memory. */
  yRows(first: number, count: number): Float32Array {
    return this.memory.floats(this.yAt + 4 * first * this.hidden, count * this.hidden);
  }

  /** [N·K] choice → row of y, −1 = none, to be filled by whoever gathers; valid as {@link yRows}. */
  rowOfChoice(numChoices: number): Int32Array {
    return this.memory.words(this.rowOfChoiceAt, numChoices);
  }

  /** [N, H]: the sums, in ascending order of choices, of weight · row of y, as {@link rowOfChoice} tells. They stay until the next of this turn. */
  sum(numRows: number, weights: Float32Array, turn: number): KernelRows {
    const { memory, hidden, numTopk } = this;
    const out = this.sums[turn]!.address;
    memory.floats(this.weightsAt, weights.length).set(weights);
    memory.kernels.sumChoices(this.yAt, this.rowOfChoiceAt, this.weightsAt, numRows, numTopk, hidden, out);
    return new KernelRows(memory, out, numRows, hidden);
  }

  /** Idempotent; the next run takes memory again. */
  dispose(): void {
    for (const block of [this.block, ...this.sums]) block.dispose();
  }

  /** Room for what the turn computes and for its sums. What grows lies side by side again where nobody's sums are in between: a full memory has room for both then. */
  private reserve(numBytes: number, sumBytes: number, turn: number | null): number {
    const { block, sums, memory } = this;
    if (turn !== null) {
      while (sums.length <= turn) sums.push(new GrowingBlock(memory));
      const own = sums[turn]!;
      if (numBytes > block.numBytes || sumBytes > own.numBytes) {
        block.dispose();
        for (let later = turn; later < sums.length; later++) sums[later]!.dispose();
      }
      own.reserve(sumBytes);
    }
    return block.reserve(numBytes);
  }

  /** Where the rows lie in this memory already, as wide as the kernels want them; null: they don't. */
  private ownAddress({ inPlace }: ReceivedRows): number | null {
    const isHere =
      inPlace instanceof KernelRows && inPlace.memory === this.memory && inPlace.stride === padded(this.hidden);
    return isHere ? inPlace.address : null;
  }

  private copyIn(recv: ReceivedRows, address: number): void {
    const { memory, hidden } = this;
    const { numRecvTokens: numRows } = recv;
    const x = new KernelRows(memory, address, numRows, hidden, padded(hidden));
    recv.copyRowsTo(x);
    memory.countCopy(4 * numRows * hidden);
    if (x.stride === hidden) return;
    const floats = x.view();
    for (let row = 0; row < numRows; row++) floats.fill(0, row * x.stride + hidden, (row + 1) * x.stride);
  }

  /** Returns where the rows of x are named. */
  private writeTables({ groups, order, from, to, numPairs }: KernelShare, address: number): number {
    const { memory, numTopk } = this;
    const { experts, starts, choices } = groups;
    const table = memory.words(address, GROUP_WORDS * (to - from) + numPairs);
    let group = 0;
    let next = GROUP_WORDS * (to - from);
    const rowsAt = address + 4 * next;
    for (let i = from; i < to; i++) {
      const g = order[i]!;
      const { gate, up, down, formAddress } = experts[g]!;
      table[group++] = gate.address;
      table[group++] = up.address;
      table[group++] = down.address;
      table[group++] = formAddress;
      table[group++] = countOf(groups, g);
      for (let pair = starts[g]!; pair < starts[g + 1]!; pair++) table[next++] = (choices[pair]! / numTopk) | 0;
    }
    return rowsAt;
  }
}

const countOf = ({ starts }: ExpertGroups<unknown>, group: number): number => starts[group + 1]! - starts[group]!;

const sumOf = ({ scratch, x, y, out, tables, weights }: Areas): number =>
  aligned(scratch) + aligned(x) + aligned(y) + aligned(out) + aligned(tables) + aligned(weights);
