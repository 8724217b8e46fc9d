/**
 * A gate on tokens that are the same everywhere: whether it chooses as it says, and on each rank as on the head.
 * Why: docs/decisions/plugins.md#gates-are-tried-before-ranks-start
 */
import { uniform } from '../../base/philox.js';
import type { Routing } from '../../compute/base/gate_spec.js';
import { routeBy, type GateChoice } from '../../experts/routing/custom_gate.js';
import { failed, type Owner } from './calls.js';
import { PluginError } from './errors.js';

/** As many as tell chance from law. */
const TRIAL_POSITIONS = [0, 1, 7, 100];

/** Tokens of which every rank knows the logits: between -4 and 4, as those of trained gates mostly are. */
export function trialBatch(numExperts: number): Parameters<typeof routeBy>[1] {
  const logits = Float32Array.from({ length: TRIAL_POSITIONS.length * numExperts }, (_, i) => 8 * uniform(0, 0, i) - 4);
  return { logits, bias_E: null, moeLayer: 0, step: 0, positions: Int32Array.from(TRIAL_POSITIONS) };
}

/**
 * What depends on its token alone is the same without the others, in another step and on another rank.
 * @throws PluginError PLUGIN_FAILED
 */
export function checkAlone(owner: Owner, choice: GateChoice, together: Routing): void {
  const { numTopk, spec } = choice;
  const { numExperts } = spec;
  for (const [token, position] of TRIAL_POSITIONS.entries()) {
    const batch = trialBatch(numExperts);
    const logits = batch.logits.slice(token * numExperts, (token + 1) * numExperts);
    const alone = routeBy({ ...choice, rank: 1 }, { ...batch, logits, step: 1, positions: Int32Array.of(position) });
    const beside = choicesOf(together, token, numTopk);
    if (isSame(choicesOf(alone, 0, numTopk), beside)) continue;
    const gave = `${textOf(beside)} to a token beside others in step 0, and ${textOf(choicesOf(alone, 0, numTopk))} to the same alone in step 1`;
    throw failed(
      owner,
      `gave ${gave}, and says that it depends on its token alone; give a token the same always, or say dependsOn: 'batch'`,
    );
  }
}

/** Whether a rank's gate chooses as the head's did. @throws PluginError PLUGINS_DIFFER */
export function checkTrial(
  owner: Owner,
  heads: Routing,
  here: Routing,
  { numTopk, rank }: Pick<GateChoice, 'numTopk' | 'rank'>,
): void {
  for (const token of TRIAL_POSITIONS.keys()) {
    const [there, own] = [heads, here].map((routing) => choicesOf(routing, token, numTopk)) as [Choices, Choices];
    if (!isSame(there, own))
      throw differs(owner, `gave ${textOf(own)} to a trial token on rank ${rank}, and ${textOf(there)} on the head`);
  }
}

interface Choices {
  readonly experts: Int32Array;
  readonly weights: Float32Array;
}

const choicesOf = ({ topkIdx, topkWeights }: Routing, token: number, numTopk: number): Choices => ({
  experts: topkIdx.slice(token * numTopk, (token + 1) * numTopk),
  weights: topkWeights.slice(token * numTopk, (token + 1) * numTopk),
});

/** To the bit, but for weights of nobody. */
const isSame = (a: Choices, b: Choices): boolean =>
  a.experts.every((expert, k) => expert === b.experts[k] && (expert < 0 || a.weights[k] === b.weights[k]));

const textOf = ({ experts, weights }: Choices): string =>
  `expert ${[...experts].map((expert, k) => `${expert} (weight ${weights[k]!})`).join(', ')}`;

/** The same code gives other results here. @param text what it did */
export const differs = (owner: Owner, text: string): PluginError =>
  new PluginError(
    'PLUGINS_DIFFER',
    `${text}; it must choose alike everywhere, whatever the machine, its environment and chance say`,
    owner,
  );
