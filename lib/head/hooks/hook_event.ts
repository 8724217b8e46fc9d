import { scoreInto } from '../../../experts/routing/scores.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import type { HookEvent, HookPlace, HookPoint } from '../../protocol/hook.js';
import type { TableName } from '../../protocol/look.js';

/** Rows of the token that an event is of. */
export type RowOf = (table: TableName, layer: number) => Float32Array | Int32Array;

/** What a hook is told at one point. Scores are made here: logits say all of them. */
export function eventOf(point: HookPoint, place: HookPlace, rowOf: RowOf, spec: ModelSpec): HookEvent {
  const { layer } = place;
  const floats = (table: TableName, at = layer): Float32Array => rowOf(table, at) as Float32Array;
  switch (point) {
    case 'hiddenBefore':
      return { ...place, point, values: floats('hidden') };
    case 'hiddenAfter':
      return { ...place, point, values: floats('hidden', layer + 1) };
    case 'lensLogits':
      return { ...place, point, values: floats('lens', layer + 1) };
    case 'moeInput':
      return { ...place, point, values: floats('moe_input') };
    case 'routerLogits':
      return { ...place, point, values: floats('router_logits') };
    case 'routerScores':
      return { ...place, point, values: scoresOf(floats('router_logits'), spec) };
    case 'routing':
      return { ...place, point, experts: rowOf('experts', layer) as Int32Array, weights: floats('weights') };
    case 'expertOutputs':
      return { ...place, point, experts: rowOf('experts', layer) as Int32Array, values: floats('expert_outputs') };
  }
}

function scoresOf(logits_E: Float32Array, { moe }: ModelSpec): Float64Array {
  const scores_E = new Float64Array(logits_E.length);
  scoreInto(scores_E, logits_E, moe.gate.scoring);
  return scores_E;
}
