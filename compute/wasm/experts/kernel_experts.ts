/**
 * Running experts on received rows, in the memories that hold them.
 * Shape suffixes: N received rows, H hidden, K choices per row, M (row, choice) pairs that are local.
 */
import type { ReceivedRows } from '../../../base/received_rows.js';
import { ExpertError } from '../../base/errors.js';
import type { ExpertOutput } from '../../base/expert_compute.js';
import { numPairsOf, type ExpertGroups } from '../../base/expert_groups.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import type { KernelExpert } from './kernel_expert.js';
import { KernelWorkspace, type KernelShare } from './kernel_workspace.js';

/** What one memory computes of a call. */
interface Share extends KernelShare {
  readonly workspace: KernelWorkspace;
}

/** Runs experts with one kernel call per memory, and keeps a workspace in each memory that it met. */
export class KernelExperts {
  private readonly workspaces = new Map<KernelMemory, KernelWorkspace>();
  /** Of a call's groups: those of one memory lie together. */
  private order = new Int32Array(0);

  /** @param hidden - H of all rows @param numTopk - K of all rows */
  constructor(
    private readonly hidden: number,
    private readonly numTopk: number,
  ) {}

  /**
   * What `combine` takes: with `reduce: 'rank'` [N, H] in a kernel memory, per row the sum of weight × expert output in ascending order of choices, product and sum in
   * float32; with 'source' [M·H], a row per local choice in ascending order. No choice is in two groups. A row's bits depend neither on other rows nor on the memory.
   * Memory for the largest batch so far is kept. Other threads compute where it takes long: one call at a time.
   * @throws ExpertError OUT_OF_MEMORY, THREAD_FAILED, INVALID_ARGUMENT for sizes that don't fit
   */
  forward(groups: ExpertGroups<KernelExpert>, recv: ReceivedRows, turn = 0): ExpertOutput | Promise<ExpertOutput> {
    this.checkSizes(groups, recv);
    const shares = this.sharesOf(groups);
    const running = runAll(shares, recv, { numPairs: numPairsOf(groups), turn });
    return running === undefined
      ? this.gathered(shares, recv, turn)
      : running.then(() => this.gathered(shares, recv, turn));
  }

  /** Gives the memory for batches back; idempotent. */
  dispose(): void {
    for (const workspace of this.workspaces.values()) workspace.dispose();
    this.workspaces.clear();
  }

  private gathered(shares: readonly Share[], recv: ReceivedRows, turn: number): ExpertOutput {
    const { hidden, numTopk } = this;
    const { workspace, groups } = shares[0]!;
    gather(shares);
    const rowOfChoice = workspace.rowOfChoice(recv.numRecvTokens * numTopk).fill(-1);
    let next = 0;
    for (const { order, from, to } of shares) {
      for (let i = from; i < to; i++) {
        const g = order[i]!;
        for (let pair = groups.starts[g]!; pair < groups.starts[g + 1]!; pair++)
          rowOfChoice[groups.choices[pair]!] = next++;
      }
    }
    if (recv.reduce === 'rank') return workspace.sum(recv.numRecvTokens, recv.recvTopkWeights, turn);
    workspace.memory.countCopy(4 * next * hidden);
    return inChoiceOrder(rowOfChoice, workspace.yRows(0, next), hidden);
  }

  private checkSizes({ experts }: ExpertGroups<KernelExpert>, { inPlace }: ReceivedRows): void {
    const { hidden } = this;
    const other = inPlace?.hidden ?? hidden;
    if (other !== hidden) throw invalid(`rows of ${other} for experts of hidden size ${hidden}`);
    for (const { shape } of experts)
      if (shape.hidden !== hidden) throw invalid(`an expert of hidden size ${shape.hidden} for rows of ${hidden}`);
  }

  private sharesOf(groups: ExpertGroups<KernelExpert>): Share[] {
    const { experts, starts } = groups;
    if (this.order.length < experts.length) this.order = new Int32Array(experts.length);
    const { order } = this;
    const shares: Share[] = [];
    let next = 0;
    for (const { memory } of experts) {
      if (shares.some(({ workspace }) => workspace.memory === memory)) continue;
      const from = next;
      let numPairs = 0;
      for (let g = 0; g < experts.length; g++) {
        if (experts[g]!.memory !== memory) continue;
        order[next++] = g;
        numPairs += starts[g + 1]! - starts[g]!;
      }
      shares.push({ workspace: this.workspaceOf(memory), groups, order, from, to: next, numPairs });
    }
    return shares;
  }

  private workspaceOf(memory: KernelMemory): KernelWorkspace {
    let workspace = this.workspaces.get(memory);
    if (workspace !== undefined) return workspace;
    workspace = new KernelWorkspace(memory, this.hidden, this.numTopk);
    this.workspaces.set(memory, workspace);
    return workspace;
  }
}

const invalid = (what: string): ExpertError => new ExpertError('INVALID_ARGUMENT', `${what}; check the shapes`);

/** The first has room for the rows of all, and for their sums. At once, but for what other threads compute. */
function runAll(
  shares: readonly Share[],
  recv: ReceivedRows,
  all: { readonly numPairs: number; readonly turn: number },
  first = 0,
): Promise<void> | undefined {
  for (let i = first; i < shares.length; i++) {
    const share = shares[i]!;
    const turn = recv.reduce === 'rank' ? all.turn : null;
    const { workspace } = share;
    const running =
      i === 0 ? workspace.run(share, recv, all.numPairs, turn) : workspace.run(share, recv, share.numPairs, null);
    if (running instanceof Promise) return running.then(() => runAll(shares, recv, all, i + 1));
  }
  return undefined;
}

/** The rows of all shares, one share after the other, in the first's workspace. */
function gather(shares: readonly Share[]): void {
  const { workspace, numPairs } = shares[0]!;
  let next = numPairs;
  for (let i = 1; i < shares.length; i++) {
    const share = shares[i]!;
    workspace.yRows(next, share.numPairs).set(share.workspace.yRows(0, share.numPairs));
    next += share.numPairs;
  }
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
