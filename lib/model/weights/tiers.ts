/** How many experts of which types a rank keeps resident, where it keeps some on disk. Pure. */
import { dtypesIn, expertDtype } from '../../../compute/base/expert_dtypes.js';
import { expertBytes } from '../../../compute/wasm/experts/kernel_expert.js';
import type { Placement } from '../../../experts/placement/placement.js';
import {
  planSlots,
  planWarm,
  slotBytes,
  type ExpertKind,
  type SlotCount,
  type WarmWish,
} from '../../../experts/tiers/tier_plan.js';
import type { WarmTier } from '../../../experts/tiers/tiered_experts.js';
import { expertOf } from '../spec/slices.js';
import { expertSizesOf, type ModelSpec } from '../spec/spec.js';
import type { Residence } from './residence.js';

/** What tiers are planned from. */
export interface TierOptions {
  readonly spec: ModelSpec;
  readonly residence: Pick<Residence, 'experts'>;
  readonly placement: Pick<Placement, 'log2phy' | 'slotsPerRank'>;
  /** That experts of one rank may take. */
  readonly maxResidentBytes: number;
  /** Copies of experts that aren't resident. Default: there are none. */
  readonly warm?: WarmWish | null;
}

/** The same on every rank: experts of any type may come to it. */
export interface TierPlan {
  readonly slots: readonly SlotCount[];
  /** Null: there are no copies, or none is needed. */
  readonly warm: WarmTier | null;
  /** What all of them take. */
  readonly numBytes: number;
}

/** @throws ExpertError INVALID_ARGUMENT where not one of each type fits, and as planWarm */
export function planTiers({ spec, residence, placement, maxResidentBytes, warm = null }: TierOptions): TierPlan {
  const kinds = kindsOf(spec, residence, placement);
  const mostHeld = placement.slotsPerRank * placement.log2phy.length;
  const slots = planSlots(maxResidentBytes, kinds);
  const numBytes = slotBytes(slots, kinds);
  if (warm === null) return { slots, warm, numBytes };
  const eachBytes = expertBytes(expertSizesOf(spec), warm.dtype, spec.moe.activation);
  const numSlots = planWarm(warm, eachBytes, kinds, mostHeld);
  const isAllResident = slots.every((each, i) => each.numSlots >= kinds[i]!.mostHeld);
  if (isAllResident) return { slots, warm: null, numBytes };
  return { slots, warm: { ...warm, numSlots }, numBytes: numBytes + numSlots * eachBytes };
}

function kindsOf(
  spec: ModelSpec,
  { experts }: TierOptions['residence'],
  { log2phy, slotsPerRank }: TierOptions['placement'],
): ExpertKind[] {
  const layers = log2phy.map((ofLayer, moeLayer) =>
    [...ofLayer.keys()].map((held) => expertDtype(experts, moeLayer, expertOf(spec, held))),
  );
  const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);
  return dtypesIn(experts).map((dtype) => {
    const counts = layers.map((ofLayer) => ofLayer.filter((each) => each === dtype).length);
    return {
      dtype,
      eachBytes: expertBytes(expertSizesOf(spec), dtype, spec.moe.activation),
      numExperts: sum(counts),
      mostHeld: sum(counts.map((count) => Math.min(count, slotsPerRank))),
    };
  });
}
