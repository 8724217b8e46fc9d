/** The router, slow and obvious: float64, everything sorted. */
import type { GateSpec } from '../../compute/base/gate_spec.js';

export interface RoutingRef {
  readonly experts: readonly number[];
  readonly weights: readonly number[];
}

/** The choices of one token, best first; `bias` one number per expert, or null. */
export function routeRef(logits: readonly number[], spec: GateSpec, bias: readonly number[] | null): RoutingRef {
  const scores = scoresOf(logits, spec.scoring);
  const selection = scores.map((score, e) => score + (bias?.[e] ?? 0));
  const allowed = selection.map((_, e) => e).filter((e) => isInBestGroup(e, selection, spec.groups));
  const experts = bestFirst(allowed, (e) => selection[e]!).slice(0, spec.numTopk);
  const sum = experts.reduce((total, e) => total + scores[e]!, 0) + spec.normEps;
  const weights = experts.map((e) => (scores[e]! / (spec.normTopkProb ? sum : 1)) * spec.routedScalingFactor);
  return { experts, weights };
}

function scoresOf(logits: readonly number[], scoring: GateSpec['scoring']): number[] {
  if (scoring === 'sigmoid') return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  return powers.map((power) => power / powers.reduce((a, b) => a + b, 0));
}

function isInBestGroup(expert: number, selection: readonly number[], groups: GateSpec['groups']): boolean {
  if (groups === null) return true;
  const size = selection.length / groups.numGroups;
  const members = (group: number): number[] => selection.slice(group * size, (group + 1) * size);
  const score = (group: number): number =>
    members(group)
      .sort((a, b) => b - a)
      .slice(0, 2)
      .reduce((a, b) => a + b, 0);
  const all = Array.from({ length: groups.numGroups }, (_, group) => group);
  return bestFirst(all, score)
    .slice(0, groups.topkGroups)
    .includes(Math.floor(expert / size));
}

/** Highest score first, the lower index on ties. */
const bestFirst = (indices: readonly number[], score: (index: number) => number): number[] =>
  [...indices].sort((a, b) => score(b) - score(a) || a - b);
