/** The checks of what a plug-in's gate chooses. Shape suffixes: T tokens, E experts, K choices per token. */
import type { Routing } from '../../compute/base/gate_spec.js';
import type { CustomGate } from '../../experts/routing/custom_gate.js';
import { failed, given, kindOf, type Owner } from './calls.js';
import type { Registered } from './plugin_registry.js';

/**
 * The gate, and PLUGIN_FAILED where it throws, or chooses what can't be. What it writes over is its own, and so are the arrays that it gives: it may write them anew in
 * the next layer, while what it chose in this one is still needed.
 */
export function checkedGate(owner: Registered<CustomGate>): CustomGate {
  const { value: gate } = owner;
  return {
    route(batch, own) {
      const { numTokens, numTopk, bias_E, positions, spec } = batch;
      const where = `in MoE layer ${batch.moeLayer} of step ${batch.step}`;
      const theirs = { ...batch, bias_E: bias_E?.slice() ?? null, positions: positions.slice() };
      const told: unknown = given(owner, where, () => gate.route(theirs, own));
      const arrays = given(owner, where, () => arraysOf(told)); // getters are code of the plug-in
      return checkedRouting(owner, where, arrays, { numTokens, numTopk, numExperts: spec.numExperts });
    },
  };
}

type Arrays = { readonly [K in keyof Routing]?: unknown };

function arraysOf(told: unknown): Arrays {
  const { topkIdx, topkWeights } = (told ?? {}) as Arrays;
  return { topkIdx, topkWeights };
}

interface RoutingShape {
  readonly numTokens: number;
  readonly numTopk: number;
  readonly numExperts: number;
}

/** A copy. */
function checkedRouting(owner: Owner, where: string, { topkIdx, topkWeights }: Arrays, shape: RoutingShape): Routing {
  const numChoices = shape.numTokens * shape.numTopk;
  const asked = `of ${shape.numTokens} tokens × ${shape.numTopk} choices = ${numChoices}`;
  if (!(topkIdx instanceof Int32Array) || topkIdx.length !== numChoices) {
    throw failed(owner, `gave ${kindOf(topkIdx)} as topkIdx ${where}; give an Int32Array ${asked}`);
  }
  if (!(topkWeights instanceof Float32Array) || topkWeights.length !== numChoices) {
    throw failed(owner, `gave ${kindOf(topkWeights)} as topkWeights ${where}; give a Float32Array ${asked}`);
  }
  const routing = { topkIdx: new Int32Array(topkIdx), topkWeights: new Float32Array(topkWeights) };
  checkChoices(owner, where, routing, shape);
  return routing;
}

/** Experts that are there, none twice for one token, with finite weights. */
function checkChoices(
  owner: Owner,
  where: string,
  { topkIdx, topkWeights }: Routing,
  { numTopk, numExperts }: RoutingShape,
): void {
  const lastToken = new Int32Array(numExperts).fill(-1);
  for (let i = 0; i < topkIdx.length; i++) {
    const expert = topkIdx[i]!;
    const token = Math.floor(i / numTopk);
    const weight = topkWeights[i]!;
    if (!Number.isFinite(weight)) {
      throw failed(
        owner,
        `gave the weight ${weight} to expert ${expert} for token ${token} ${where}; give finite weights`,
      );
    }
    if (expert === -1) continue;
    if (expert < -1 || expert >= numExperts) {
      throw failed(
        owner,
        `gave expert ${expert} to token ${token} ${where}; there are experts 0 … ${numExperts - 1}, and -1 for none`,
      );
    }
    if (lastToken[expert] === token)
      throw failed(owner, `gave expert ${expert} twice to token ${token} ${where}; give each once`);
    lastToken[expert] = token;
  }
}
