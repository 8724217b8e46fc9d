/** The router, slow and obvious: float64, everything sorted. */
import type { GateSpec, Scoring, SparseMixer } from '../../compute/base/gate_spec.js';

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
  const raw = typeof spec.scoring === 'string' ? experts.map((e) => scores[e]!) : mixed(scores, experts, spec.scoring);
  const sum = Math.max(raw.reduce((a, b) => a + b, 0) + spec.normEps, spec.normMin);
  const weights = raw.map((weight) => (weight / (spec.normTopkProb ? sum : 1)) * spec.routedScalingFactor);
  return { experts, weights };
}

/** Choice by choice, as the paper has it: what is far below it gets −∞, those chosen before it too, and of what is left a softmax. */
function mixed(logits: readonly number[], chosen: readonly number[], { jitterEps }: SparseMixer): number[] {
  return chosen.map((best, k) => {
    const isFar = (logit: number): boolean =>
      (logits[best]! - logit) / Math.max(Math.abs(logit), logits[best]!) > 2 * jitterEps;
    const masked = logits.map((logit, e) => (isFar(logit) || chosen.slice(0, k).includes(e) ? -Infinity : logit));
    const powers = masked.map((logit) => Math.exp(logit - logits[best]!));
    return powers[best]! / powers.reduce((a, b) => a + b, 0);
  });
}

/** Of all experts, before anything that the selection does. */
export function scoresOf(logits: readonly number[], scoring: Scoring): number[] {
  if (typeof scoring !== 'string') return [...logits];
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
      .slice(0, groups.score === 'max' ? 1 : 2)
      .reduce((a, b) => a + b, 0);
  const all = Array.from({ length: groups.numGroups }, (_, group) => group);
  return bestFirst(all, score)
    .slice(0, groups.topkGroups)
    .includes(Math.floor(expert / size));
}

/** Highest score first, the lower index on ties. */
const bestFirst = (indices: readonly number[], score: (index: number) => number): number[] =>
  [...indices].sort((a, b) => score(b) - score(a) || a - b);
