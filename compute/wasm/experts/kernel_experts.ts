/**
 * Running experts on received rows, in the memories that hold them.
 * Shape suffixes: N received rows, H hidden, K choices per row, M (row, choice) pairs that are local.
 */
import type { Reduce } from '../../../base/received_rows.js';
import { ExpertError } from '../../base/errors.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import { KernelWorkspace, type KernelGroup } from './kernel_workspace.js';

/** What {@link KernelExperts.forward} takes of a dispatch. */
export interface KernelRows {
  readonly numRecvTokens: number;
  /** [N·H] */
  readonly recvX: Float32Array;
  /** [N·K]; not used with `reduce: 'source'`. */
  readonly recvTopkWeights: Float32Array;
  readonly reduce: Reduce;
}

/** What one memory computes of a call. */
interface Share {
  readonly workspace: KernelWorkspace;
  readonly groups: readonly KernelGroup[];
  /** Rows that it has room for: the first's takes those of the others in. */
  readonly numPairs: number;
}

/** Runs experts with one kernel call per memory, and keeps a workspace in each memory that it met. */
export class KernelExperts {
  private readonly workspaces = new Map<KernelMemory, KernelWorkspace>();

  /** @param hidden - H of all rows @param numTopk - K of all rows */
  constructor(
    private readonly hidden: number,
    private readonly numTopk: number,
  ) {}

  /**
   * What `combine` takes: with `reduce: 'rank'` [N·H], per row the sum of weight × expert output in ascending order of choices, product and sum in float32;
   * with 'source' [M·H], a row per local choice in ascending order. A group is an expert and its choices; no choice is in two groups. A row's bits depend
   * neither on other rows nor on the memory. Memory for the largest batch so far is kept. Other threads compute where it takes long: one call at a time.
   * @throws ExpertError OUT_OF_MEMORY, THREAD_FAILED, INVALID_ARGUMENT for sizes that don't fit
   */
  async forward(groups: readonly KernelGroup[], recv: KernelRows): Promise<Float32Array<ArrayBuffer>> {
    const shares = this.sharesOf(groups, recv);
    for (const { workspace, groups: own, numPairs } of shares) await workspace.run(own, recv.recvX, numPairs);
    return this.gathered(shares, recv);
  }

  private gathered(shares: readonly Share[], recv: KernelRows): Float32Array<ArrayBuffer> {
    const { hidden, numTopk } = this;
    const [first] = shares;
    if (first === undefined) return new Float32Array(recv.reduce === 'rank' ? recv.numRecvTokens * hidden : 0);
    gather(shares);
    const rowOfChoice = rowsOfChoices(shares, recv.numRecvTokens * numTopk);
    if (recv.reduce === 'rank') return first.workspace.sum(rowOfChoice, recv.recvTopkWeights);
    return inChoiceOrder(rowOfChoice, first.workspace.yRows(0, first.numPairs), hidden);
  }

  /** Gives the memory for batches back; idempotent. */
  dispose(): void {
    for (const workspace of this.workspaces.values()) workspace.dispose();
    this.workspaces.clear();
  }

  private checkSizes(groups: readonly KernelGroup[], { numRecvTokens, recvX }: KernelRows): void {
    const { hidden } = this;
    const other = groups.find(({ expert }) => expert.shape.hidden !== hidden);
    const what =
      other === undefined ? `${recvX.length} values` : `an expert of hidden size ${other.expert.shape.hidden}`;
    if (other !== undefined || recvX.length !== numRecvTokens * hidden)
      throw new ExpertError('INVALID_ARGUMENT', `${what} for ${numRecvTokens} rows of ${hidden}; check the shapes`);
  }

  private sharesOf(groups: readonly KernelGroup[], recv: KernelRows): Share[] {
    this.checkSizes(groups, recv);
    const shares = new Map<KernelMemory, KernelGroup[]>();
    for (const group of groups) shares.set(group.expert.memory, [...(shares.get(group.expert.memory) ?? []), group]);
    return Array.from(shares, ([memory, own], i) => ({
      workspace: this.workspaceOf(memory),
      groups: own,
      numPairs: countPairs(i === 0 ? groups : own),
    }));
  }

  private workspaceOf(memory: KernelMemory): KernelWorkspace {
    const workspace = this.workspaces.get(memory) ?? new KernelWorkspace(memory, this.hidden, this.numTopk);
    this.workspaces.set(memory, workspace);
    return workspace;
  }
}

const countPairs = (groups: readonly KernelGroup[]): number =>
  groups.reduce((sum, { choices }) => sum + choices.length, 0);

/** The rows of all shares, one share after the other, in the first's workspace. */
function gather(shares: readonly Share[]): void {
  const { workspace } = shares[0]!;
  let next = countPairs(shares[0]!.groups);
  for (const share of shares.slice(1)) {
    const count = countPairs(share.groups);
    workspace.yRows(next, count).set(share.workspace.yRows(0, count));
    next += count;
  }
}

/** choice → row of the gathered result, −1 = elsewhere. */
function rowsOfChoices(shares: readonly Share[], numChoices: number): Int32Array {
  const rows = new Int32Array(numChoices).fill(-1);
  let next = 0;
  for (const { groups } of shares)
    for (const { choices } of groups) for (const choice of choices) rows[choice] = next++;
  return rows;
}

/** One row per local choice, in the order of choices. */
function inChoiceOrder(rowOfChoice: Int32Array, y: Float32Array, hidden: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(y.length);
  let next = 0;
  for (const row of rowOfChoice) {
    if (row < 0) continue;
    out.set(y.subarray(row * hidden, (row + 1) * hidden), next);
    next += hidden;
  }
  return out;
}
