/**
 * Routed experts of which some are resident in kernel memories and the others on disk. Results are those of experts that are all resident, to the bit, unless there are warm copies.
 * Why: docs/decisions/memory.md#experts-that-are-read-when-they-are-wanted
 */
import type { ReceivedRows } from '../../base/received_rows.js';
import type { ActivationSpec } from '../../compute/base/activation_spec.js';
import { ExpertError } from '../../compute/base/errors.js';
import type { ExpertCompute, ExpertName, ExpertOutput } from '../../compute/base/expert_compute.js';
import type { ExpertGroups } from '../../compute/base/expert_groups.js';
import type { FfnWeights } from '../../compute/base/ffn_weights.js';
import type { ExpertSizes } from '../../compute/base/weight_rows.js';
import type { WeightDtype } from '../../compute/base/weight_matrix.js';
import type { KernelExpert } from '../../compute/wasm/experts/kernel_expert.js';
import { KernelExperts } from '../../compute/wasm/experts/kernel_experts.js';
import type { KernelMemories } from '../../compute/wasm/memory/kernel_memories.js';
import { ExpertSlots } from './expert_slots.js';
import { TierCounts, type TierStats, type WarmStats } from './tier_counts.js';
import type { SlotCount } from './tier_plan.js';
import type { TierPolicy } from './tier_policy.js';
import { TierStore, type TierSource } from './tier_store.js';
import { TierUse, type TieredLayer } from './tier_use.js';
import type { TieredExpert } from './tiered_expert.js';

/** What {@link TieredExperts} needs to know. */
export interface TieredExpertsOptions {
  readonly sizes: ExpertSizes;
  readonly numTopk: number;
  /** Default SwiGLU. */
  readonly activation?: ActivationSpec;
  /** The MoE layers. */
  readonly layers: readonly TieredLayer[];
  /** What the places must fit into: they are planned so. */
  readonly maxBytes: number;
  readonly slots: readonly SlotCount[];
  /** Where copies go of experts that leave their places, and what these must fit into. Results are not those of resident ones then. Default: nowhere. */
  readonly warm?: WarmTier | null;
  readonly policy: TierPolicy;
  readonly source: TierSource;
}

/** Places for copies, all of one type. */
export interface WarmTier extends SlotCount {
  readonly maxBytes: number;
}

/** Runs experts with the kernels, in waves where some must be read that a call wants. */
export class TieredExperts implements ExpertCompute<TieredExpert> {
  private readonly kernels: KernelExperts;
  private readonly slots: ExpertSlots<TieredExpert>;
  private readonly warmSlots: ExpertSlots<TieredExpert> | null = null;
  private readonly counts: TierCounts;
  private readonly store: TierStore;
  private readonly use: TierUse;

  /** Takes all memory that experts will have. @throws ExpertError OUT_OF_MEMORY */
  constructor(
    memories: KernelMemories,
    private readonly options: TieredExpertsOptions,
  ) {
    const { sizes, numTopk, slots, activation, layers, source, policy, warm = null } = options;
    this.kernels = new KernelExperts(sizes.hidden, numTopk);
    this.slots = new ExpertSlots(memories, slots, sizes, activation);
    this.counts = new TierCounts(layers.length);
    if (warm !== null) this.warmSlots = this.warmPlaces(memories, warm);
    const copies = warm && { slots: this.warmSlots!, dtype: warm.dtype, ...(activation && { activation }) };
    this.store = new TierStore({ slots: this.slots, sizes, source, policy, counts: this.counts, warm: copies });
    this.use = new TierUse(layers, this.counts, this.store.held);
  }

  /** One that is on disk, and read when it is wanted. @throws what its source does where it isn't there */
  open(name: ExpertName, dtype: WeightDtype): TieredExpert {
    return this.store.open(name, dtype);
  }

  /** Weights that came from elsewhere: resident where a place is free, and otherwise what this rank has on disk, which must be the same. @throws ExpertError INVALID_ARGUMENT without a name */
  load(weights: FfnWeights, dtype: WeightDtype, name?: ExpertName): TieredExpert {
    if (name !== undefined) return this.store.place(weights, dtype, name);
    throw new ExpertError('INVALID_ARGUMENT', 'an expert of a tier has no name; please report this');
  }

  /** At once where all are resident, but for what other threads compute. @throws ExpertError EXPERT_UNREADABLE, and as KernelExperts */
  forward(groups: ExpertGroups<TieredExpert>, recv: ReceivedRows, turn = 0): ExpertOutput | Promise<ExpertOutput> {
    const { experts, starts, choices } = groups;
    if (this.use.note(experts, turn)) this.store.enter(experts[0]!.layer);
    this.store.want(new Set(experts));
    const present = experts.map((expert) => expert.present);
    if (!isWhole(present)) return this.inWaves(groups, recv, turn);
    let running: ExpertOutput | Promise<ExpertOutput> | null = null;
    try {
      this.readBeside(experts);
      running = this.kernels.forward({ experts: present, starts, choices }, recv, turn);
    } finally {
      if (!(running instanceof Promise)) this.store.want(NONE);
    }
    return running instanceof Promise ? running.finally(() => this.store.want(NONE)) : running;
  }

  /** Rejects where files were written since they were opened: what was computed since the last call doesn't count. */
  settle(): Promise<void> {
    return this.store.settle();
  }

  /** What it holds and did. */
  stats(): TierStats {
    const { slots, store, options } = this;
    return {
      ...{ maxBytes: options.maxBytes, residentBytes: slots.numBytes, numSlots: slots.all.length },
      ...{ numHeld: store.held.size, numResident: slots.numReady },
      ...this.counts.snapshot(),
      ...(this.warmSlots !== null && { warm: this.warmStats(this.warmSlots) }),
    };
  }

  /** Gives all memory back. */
  dispose(): void {
    this.kernels.dispose();
    this.store.dispose();
  }

  private warmStats({ numBytes: residentBytes, all, numReady: numResident }: ExpertSlots<TieredExpert>): WarmStats {
    const { numMade, numRaised } = this.counts;
    const { dtype, maxBytes } = this.options.warm!;
    return { dtype, maxBytes, residentBytes, numSlots: all.length, numResident, numMade, numRaised };
  }

  private warmPlaces(memories: KernelMemories, warm: WarmTier): ExpertSlots<TieredExpert> {
    const { sizes, activation } = this.options;
    try {
      return new ExpertSlots(memories, [warm], sizes, activation);
    } catch (error) {
      this.slots.dispose();
      throw error;
    }
  }

  /** What is there computes while what isn't is read. */
  private async inWaves(groups: ExpertGroups<TieredExpert>, recv: ReceivedRows, turn: number): Promise<ExpertOutput> {
    const { experts, starts, choices } = groups;
    const { intermediate } = this.options.sizes;
    const coming = { starts, choices, numGroups: experts.length, intermediate };
    const present: KernelExpert[] = [];
    let isAhead = false;
    const left = new Map(experts.entries());
    try {
      const call = this.kernels.begin(coming, recv, this.slots.all[0]!.expert.memory, turn);
      while (left.size > 0) {
        const { reading, isAll } = this.bringAll(left.values());
        if (isAll && !isAhead) this.readBeside(experts);
        isAhead ||= isAll;
        const wave = [...left.keys()].filter((g) => left.get(g)!.present !== null);
        if (wave.length === 0) {
          await this.wait(reading);
          continue;
        }
        for (const g of wave) present[g] = left.get(g)!.present!;
        await call.run(present, wave); // they are wanted until then
        for (const g of wave) left.delete(g);
        this.store.want(new Set(left.values()));
      }
      return call.finish();
    } finally {
      this.store.want(NONE);
    }
  }

  /** Begins to read what has no place, as far as there are places and reads aren't many. `isAll`: everything is there or on its way. */
  private bringAll(experts: Iterable<TieredExpert>): { readonly reading: Promise<void>[]; readonly isAll: boolean } {
    const reading: Promise<void>[] = [];
    let isAll = true;
    for (const expert of experts) {
      if (expert.present !== null) continue;
      const isComing = expert.reading !== null || expert.warming !== null;
      const mayBegin = isComing || (isAll && this.store.numReading < MOST_READING);
      const one = mayBegin ? this.store.bring(expert) : null;
      if (one === null) isAll = false;
      else reading.push(one);
    }
    return { reading, isAll };
  }

  /** Until something can be computed, or read. */
  private async wait(reading: readonly Promise<void>[]): Promise<void> {
    const startMs = performance.now();
    await (reading.length === 0 ? this.slots.change() : Promise.race(reading));
    this.counts.waitMs += performance.now() - startMs;
  }

  /** What was used warm and is worth a place, and what the next layer will probably want. */
  private readBeside(experts: readonly TieredExpert[]): void {
    if (this.warmSlots !== null) for (const expert of experts) if (!expert.isReady) this.store.raise(expert);
    this.readAhead();
  }

  /** What the next layer will probably want. */
  private readAhead(): void {
    const most = Math.min(this.slots.all.length / MOST_AHEAD, MOST_READING - this.store.numReading);
    let room = Math.max(0, Math.floor(most)); // what is wanted now comes first
    const { layer, experts } = this.use.predict();
    for (const predicted of experts) {
      const expert = this.store.find({ layer, expert: predicted.expert });
      if (expert?.slot !== null || expert.warm !== null || !this.use.isWorthReading(predicted)) continue;
      if (room-- === 0) return;
      this.store.bringAhead(expert);
    }
  }
}

const isWhole = (present: readonly (KernelExpert | null)[]): present is readonly KernelExpert[] =>
  present.every((each) => each !== null);

/** As many as keep a disk and who lays them out busy: a call that wants more than that leaves the other places to those that other layers will want. */
const MOST_READING = 4;

const NONE: ReadonlySet<TieredExpert> = new Set();

/** Of this many places one at most is read ahead into at a time. */
const MOST_AHEAD = 4;
