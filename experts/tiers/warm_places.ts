/** Copies in fewer bits of experts that left their places: they are computed with while nobody waits for a read. Why: docs/decisions/memory.md#warm-copies */
import { SWIGLU, type ActivationSpec } from '../../compute/base/activation_spec.js';
import type { ExpertSizes } from '../../compute/base/weight_rows.js';
import type { WeightDtype } from '../../compute/base/weight_matrix.js';
import { expertBytes, type KernelExpert } from '../../compute/wasm/experts/kernel_expert.js';
import { fillExpert, storedIn } from '../../compute/wasm/experts/load_expert.js';
import type { WeightLoader } from '../../compute/wasm/memory/weight_loader.js';
import type { ExpertSlot, ExpertSlots } from './expert_slots.js';
import type { TierCounts } from './tier_counts.js';
import type { ExpertUse, TierPolicy } from './tier_policy.js';
import type { TieredExpert } from './tiered_expert.js';

/** What {@link WarmPlaces} work with. */
export interface WarmPlacesParts {
  /** All of one type. */
  readonly slots: ExpertSlots<TieredExpert>;
  readonly dtype: WeightDtype;
  readonly sizes: ExpertSizes;
  /** Default SwiGLU. */
  readonly activation?: ActivationSpec;
  readonly policy: TierPolicy;
  readonly counts: TierCounts;
}

/** What their store does for them. */
export interface WarmPlacesOwner {
  readonly loader: WeightLoader;
  readonly held: ReadonlySet<TieredExpert>;
  /** Computed with now: it stays. */
  isBusy(expert: TieredExpert): boolean;
}

/** A fixed number of places, which the copies of resident experts leave first. */
export class WarmPlaces {
  constructor(
    private readonly parts: WarmPlacesParts,
    private readonly owner: WarmPlacesOwner,
  ) {}

  /**
   * Begins to make a copy of an expert that leaves its place, where `weights` stay until that is done. Null: none is made, since there is one, since it would save nothing, or since
   * all that are there are worth more.
   */
  keep(expert: TieredExpert, weights: KernelExpert): Promise<void> | null {
    const { dtype, sizes, activation = SWIGLU } = this.parts;
    const bytesAs = (each: WeightDtype): number => expertBytes(sizes, each, activation);
    if (expert.warm !== null || bytesAs(dtype) >= bytesAs(expert.dtype)) return null;
    const slot = this.claim(expert);
    if (slot === null) return null;
    slot.holder = expert;
    expert.warm = slot;
    expert.warming = this.copy(expert, slot, weights);
    return expert.warming;
  }

  /** It has no copy any more; one that is being made is none when it is. */
  drop({ warm }: TieredExpert): void {
    if (warm?.isReady === true) this.empty(warm);
  }

  /** Gives the memory back. */
  dispose(): void {
    this.parts.slots.dispose();
  }

  /** What can't be rounded has no copy. */
  private async copy(expert: TieredExpert, slot: ExpertSlot<TieredExpert>, weights: KernelExpert): Promise<void> {
    const { loader, held } = this.owner;
    try {
      await fillExpert(loader, slot.expert, storedIn(weights));
      slot.isReady = held.has(expert);
      this.parts.counts.numMade++;
    } catch {
      slot.isReady = false;
    }
    expert.warming = null;
    if (!slot.isReady) this.empty(slot);
  }

  /** A place that is free. Else, where the policy would rather have another copy go than the expert: the place of a resident one's, or that of the other. */
  private claim(expert: TieredExpert): ExpertSlot<TieredExpert> | null {
    const { slots, dtype, policy } = this.parts;
    const free = slots.free(dtype);
    if (free !== null) return free;
    const able = slots.ready(dtype).filter(({ holder }) => !this.owner.isBusy(holder!));
    const spare = able.filter(({ holder }) => holder!.isReady);
    const needed = able.filter(({ holder }) => !holder!.isReady);
    const goes = needed[policy([...needed.map(({ holder }): ExpertUse => holder!), expert.earlier], expert)];
    const slot = needed.length === 0 ? mostUsed(spare) : goes && (mostUsed(spare) ?? goes);
    if (slot === undefined) return null; // the expert itself goes
    this.empty(slot);
    return slot;
  }

  private empty(slot: ExpertSlot<TieredExpert>): void {
    slot.holder!.warm = null;
    this.parts.slots.clear(slot);
  }
}

/** Of those that are resident: what will stay so for longest needs its copy last. */
const mostUsed = (slots: readonly ExpertSlot<TieredExpert>[]): ExpertSlot<TieredExpert> | undefined =>
  [...slots].sort((a, b) => b.holder!.frequency - a.holder!.frequency)[0];
