/** Replica choices by name: those that are there, and those of plug-ins, whose choices are checked. Shape suffixes: T tokens, K choices per token. */
import {
  createReplicaChooser,
  type ChoosingRank,
  type GatherCounts,
  type ReplicaChoice,
  type ReplicaChooser,
} from '../../experts/placement/replica_choice.js';
import type { Placement } from '../../experts/placement/placement.js';
import { AskingChoice } from './asking_choice.js';
import { failed, given, kindOf, type Owner } from './calls.js';
import type { PluginRegistry } from './plugin_registry.js';

/** What a rank gives a plug-in's choice. */
export interface ChoiceTools {
  /** As each rank has it. */
  readonly gather: GatherCounts;
  /** How long one may take in a layer, what it waits for others not counted. */
  readonly timeoutMs: number;
}

/** A rank's own. @throws PluginError PLUGIN_FAILED where a plug-in gives none */
export function replicaChooserNamed(
  name: string,
  { replicaChoices }: Pick<PluginRegistry, 'replicaChoices'>,
  rank: ChoosingRank,
  { gather, timeoutMs }: ChoiceTools,
): ReplicaChooser {
  const owner = replicaChoices.get(name);
  if (owner === undefined) return createReplicaChooser(name as ReplicaChoice, rank, gather);
  const asking = new AskingChoice(owner, gather, timeoutMs);
  const chooser: unknown = given(owner, `on rank ${rank.rank}`, () => owner.value({ ...rank }, asking.gather));
  if (typeof chooser !== 'object' || chooser === null || typeof (chooser as ReplicaChooser).choose !== 'function') {
    throw failed(owner, `made ${kindOf(chooser)}; make an object with a function choose`);
  }
  return checked(owner, chooser as ReplicaChooser, asking);
}

function checked(owner: Owner, chooser: ReplicaChooser, asking: AskingChoice): ReplicaChooser {
  const asksAll = chooser.asksAll === true;
  let shown: { readonly of: Placement; readonly theirs: Placement } | null = null;
  return {
    ...(asksAll && { asksAll }),
    async choose(topkIdx, placement, moeLayer, signal, capacities) {
      const call = { asksAll, moeLayer, numExperts: placement.numExperts[moeLayer]!, signal };
      if (shown?.of !== placement) shown = { of: placement, theirs: structuredClone(placement) };
      const { theirs } = shown;
      const copy = topkIdx.slice(); // what it writes over is its own
      const speeds = capacities?.slice();
      const chosen: unknown = await asking.during(call, () => chooser.choose(copy, theirs, moeLayer, signal, speeds));
      return checkedChoices(owner, chosen, topkIdx, { placement, moeLayer });
    },
  };
}

/** A copy: one of its expert's replicas for each choice, and none where there is none. */
function checkedChoices(
  owner: Owner,
  chosen: unknown,
  topkIdx: Int32Array,
  { placement, moeLayer }: { readonly placement: Placement; readonly moeLayer: number },
): Int32Array {
  const where = `in MoE layer ${moeLayer}`;
  if (!(chosen instanceof Int32Array) || chosen.length !== topkIdx.length) {
    throw failed(
      owner,
      `gave ${kindOf(chosen)} ${where}; give an Int32Array of ${topkIdx.length}, a slot for each choice`,
    );
  }
  const phy2log = placement.phy2log[moeLayer]!;
  const log2phy = placement.log2phy[moeLayer]!;
  for (let i = 0; i < chosen.length; i++) {
    const [slot, expert] = [chosen[i]!, topkIdx[i]!];
    const replicas = expert < 0 ? NONE : log2phy[expert]!;
    if (slot >= 0 ? phy2log[slot] === expert : slot === -1 && replicas.length === 0) continue;
    const right = replicas.length === 0 ? '-1, since there is none' : `one of ${[...replicas].join(', ')}`;
    throw failed(owner, `gave slot ${slot} for choice ${i}, expert ${expert}, ${where}; give ${right}`);
  }
  return new Int32Array(chosen);
}

const NONE = new Int32Array(0);
