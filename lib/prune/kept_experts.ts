/** Which experts of a layer stay. Pure. Shape suffix: E experts. */
import type { GateSpec } from '../../compute/base/gate_spec.js';

/** What experts of each layer stay, for people and for programs. */
export type KeptExperts = readonly (readonly number[])[];

/** The best of each group of the gate, as many in each; of equal ones the lower. Ascending. `scores_E`: the higher, the more it matters. */
export function keptExperts(
  scores_E: ArrayLike<number>,
  numKept: number,
  { groups }: Pick<GateSpec, 'groups'>,
): number[] {
  const numGroups = groups?.numGroups ?? 1;
  const size = scores_E.length / numGroups;
  return Array.from({ length: numGroups }, (_, group) =>
    Array.from({ length: size }, (__, i) => group * size + i)
      .sort((a, b) => scores_E[b]! - scores_E[a]! || a - b)
      .slice(0, numKept / numGroups)
      .sort((a, b) => a - b),
  ).flat();
}

/** How many experts of a layer a wish comes to, or why it can't be. `keep`: below 1 a share, from 1 on a number. A share is of whole groups, rounded down. */
export function numKeptOf(keep: number, gate: GateSpec): number | string {
  const { numExperts, numTopk, groups } = gate;
  const numGroups = groups?.numGroups ?? 1;
  const wanted = keep > 0 && keep < 1 ? Math.floor((keep * numExperts) / numGroups + 1e-9) * numGroups : keep;
  const most = groups === null ? wanted : (wanted / numGroups) * groups.topkGroups;
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > numExperts) {
    return `${wanted} of ${numExperts} experts can't be kept; give a share below 1, or a whole number from 1 to ${numExperts}`;
  }
  if (wanted % numGroups !== 0) {
    return `${wanted} experts aren't as many in each of the gate's ${numGroups} groups; give a multiple of ${numGroups}`;
  }
  if (groups?.score === 'top2_sum' && numGroups > 1 && wanted < 2 * numGroups) {
    return `${wanted} experts are one in each of ${numGroups} groups, which are told apart by their two best; keep at least ${2 * numGroups}`;
  }
  if (most >= numTopk) return wanted;
  const ofGroups =
    groups === null ? '' : `, ${most} of them in the ${groups.topkGroups} groups that a token may choose from`;
  return `each token chooses ${numTopk} experts, and ${wanted} would be kept${ofGroups}; keep more`;
}
