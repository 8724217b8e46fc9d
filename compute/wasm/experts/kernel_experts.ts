/**
 * Running experts on received rows, in the memories that hold them.
 * Shape suffixes: N received rows, H hidden, K choices per row, M (row, choice) pairs that are local.
 */
import type { ReceivedRows } from '../../../base/received_rows.js';
import { ExpertError } from '../../base/errors.js';
import type { ExpertOutput } from '../../base/expert_compute.js';
import type { ExpertGroups } from '../../base/expert_groups.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import type { KernelExpert } from './kernel_expert.js';
import { KernelWorkspace, type KernelShare } from './kernel_workspace.js';

/** What one memory computes of a call. */
interface Share extends KernelShare {
  readonly workspace: KernelWorkspace;
}

/** What a call on experts needs to know of them before they are there. */
export interface ExpertsToCome extends Pick<ExpertGroups<unknown>, 'starts' | 'choices'> {
  /** G */
  readonly numGroups: number;
  /** Of the widest. */
  readonly intermediate: number;
}

/** A call whose experts come in several waves. Rows of all waves are kept, and their sums are made last: they have the bits of one wave. */
export interface WavesOfExperts {
  /**
   * Computes the rows of some groups, which `experts` has at their numbers; each group once. At once, but for what other threads compute. Experts may go
   * elsewhere when it is over. @throws ExpertError OUT_OF_MEMORY, THREAD_FAILED
   */
  run(experts: readonly KernelExpert[], wave: readonly number[]): void | Promise<void>;
  /** When all were computed: as {@link KernelExperts.forward}. */
  finish(): ExpertOutput;
}

/** Runs experts with one kernel call per memory, and keeps a workspace in each memory that it met. */
export class KernelExperts {
  private readonly workspaces = new Map<KernelMemory, KernelWorkspace>();
  /** Of a call's groups, all of them or those of a wave: those of one memory lie together. */
  private order = new Int32Array(0);
  private readonly all: number[] = [];

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
    const { experts, starts, choices } = groups;
    const intermediate = experts.reduce((most, { shape }) => Math.max(most, shape.intermediate), 0);
    const coming = { starts, choices, numGroups: experts.length, intermediate };
    const call = this.begin(coming, recv, experts[0]!.memory, turn);
    while (this.all.length < experts.length) this.all.push(this.all.length);
    const wave = this.all.length === experts.length ? this.all : this.all.slice(0, experts.length);
    const running = call.run(experts, wave);
    return running === undefined ? call.finish() : running.then(() => call.finish());
  }

  /** The same where not all experts are there at once. `home`: the memory that the result will lie in. @throws ExpertError as {@link forward} */
  begin(coming: ExpertsToCome, recv: ReceivedRows, home: KernelMemory, turn = 0): WavesOfExperts {
    const { hidden, numTopk } = this;
    const { starts, choices, numGroups, intermediate } = coming;
    const numPairs = starts[numGroups]!;
    const isSum = recv.reduce === 'rank';
    const workspace = this.workspaceOf(home);
    let isPrepared = false;
    let numDone = 0;
    const rowOfChoice = new Int32Array(recv.numRecvTokens * numTopk).fill(-1);
    const prepare = (): void => {
      if (!isPrepared) workspace.prepare(recv, { intermediate, numPairs, numGroups, sumTurn: isSum ? turn : null });
      isPrepared = true;
    };
    return {
      run: (experts, wave) => {
        this.checkSizes(experts, wave, recv);
        prepare();
        const shares = this.sharesOf({ experts, starts, choices }, wave);
        for (const { order, from, to } of shares)
          for (let i = from; i < to; i++)
            for (let pair = starts[order[i]!]!; pair < starts[order[i]! + 1]!; pair++)
              rowOfChoice[choices[pair]!] = numDone++;
        return runAll(shares, recv, workspace, { intermediate, first: numDone - pairsOf(shares) });
      },
      finish: () => {
        prepare();
        if (isSum) {
          workspace.rowOfChoice(rowOfChoice.length).set(rowOfChoice);
          return workspace.sum(recv.numRecvTokens, recv.recvTopkWeights, turn);
        }
        workspace.memory.countCopy(4 * numDone * hidden);
        return inChoiceOrder(rowOfChoice, workspace.yRows(0, numDone), hidden);
      },
    };
  }

  /** Gives the memory for batches back; idempotent. */
  dispose(): void {
    for (const workspace of this.workspaces.values()) workspace.dispose();
    this.workspaces.clear();
  }

  private checkSizes(
    experts: readonly KernelExpert[],
    wave: readonly number[],
    { inPlace }: Pick<ReceivedRows, 'inPlace'>,
  ): void {
    const { hidden } = this;
    const other = inPlace?.hidden ?? hidden;
    if (other !== hidden) throw invalid(`rows of ${other} for experts of hidden size ${hidden}`);
    for (const g of wave) {
      const { shape } = experts[g]!;
      if (shape.hidden !== hidden) throw invalid(`an expert of hidden size ${shape.hidden} for rows of ${hidden}`);
    }
  }

  private sharesOf(groups: ExpertGroups<KernelExpert>, wave: readonly number[]): Share[] {
    const { experts, starts } = groups;
    if (this.order.length < wave.length) this.order = new Int32Array(wave.length);
    const { order } = this;
    const shares: Share[] = [];
    let next = 0;
    for (const first of wave) {
      const { memory } = experts[first]!;
      if (shares.some(({ workspace }) => workspace.memory === memory)) continue;
      const from = next;
      let numPairs = 0;
      for (const g of wave) {
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

const pairsOf = (shares: readonly Share[]): number => shares.reduce((sum, { numPairs }) => sum + numPairs, 0);

/** Rows go to y of `home` from `first` on, one share's after the other's. At once, but for what other threads compute. */
function runAll(
  shares: readonly Share[],
  recv: ReceivedRows,
  home: KernelWorkspace,
  at: { readonly intermediate: number; readonly first: number },
  next = 0,
): Promise<void> | undefined {
  let { first } = at;
  for (let i = next; i < shares.length; i++) {
    const share = shares[i]!;
    const { workspace, numPairs } = share;
    const isHome = workspace === home;
    if (!isHome)
      workspace.prepare(recv, {
        intermediate: at.intermediate,
        numPairs,
        numGroups: share.to - share.from,
        sumTurn: null,
      });
    const running = workspace.run(share, isHome ? first : 0);
    const begin = first;
    const bring = (): void => {
      if (!isHome) home.yRows(begin, numPairs).set(workspace.yRows(0, numPairs));
    };
    first += numPairs;
    if (running instanceof Promise) {
      return running.then(() => {
        bring();
        return runAll(shares, recv, home, { ...at, first }, i + 1);
      });
    }
    bring();
  }
  return undefined;
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
