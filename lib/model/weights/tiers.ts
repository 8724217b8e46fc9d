/** How many experts of which types a rank keeps resident, where it keeps some on disk. Pure. */
import { dtypesIn, expertDtype } from '../../../compute/base/expert_dtypes.js';
import { expertBytes } from '../../../compute/wasm/experts/kernel_expert.js';
import type { Placement } from '../../../experts/placement/placement.js';
import { planSlots, slotBytes, type ExpertKind, type SlotCount } from '../../../experts/tiers/tier_plan.js';
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
}

/** The same on every rank: experts of any type may come to it. */
export interface TierPlan {
  readonly slots: readonly SlotCount[];
  /** What they take. */
  readonly numBytes: number;
}

/** @throws ExpertError INVALID_ARGUMENT where not one of each type fits */
export function planTiers({ spec, residence, placement, maxResidentBytes }: TierOptions): TierPlan {
  const kinds = kindsOf(spec, residence, placement);
  const slots = planSlots(maxResidentBytes, kinds, placement.slotsPerRank * placement.log2phy.length);
  return { slots, numBytes: slotBytes(slots, kinds) };
}

function kindsOf(
  spec: ModelSpec,
  { experts }: TierOptions['residence'],
  { log2phy }: Pick<Placement, 'log2phy'>,
): ExpertKind[] {
  const all = log2phy.flatMap((ofLayer, moeLayer) =>
    [...ofLayer.keys()].map((held) => expertDtype(experts, moeLayer, expertOf(spec, held))),
  );
  return dtypesIn(experts).map((dtype) => ({
    dtype,
    eachBytes: expertBytes(expertSizesOf(spec), dtype, spec.moe.activation),
    numExperts: all.filter((each) => each === dtype).length,
  }));
}
