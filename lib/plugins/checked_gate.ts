/** The checks of what a plug-in's gate chooses. Shape suffixes: T tokens, E experts, K choices per token. */
import type { Routing } from '../../compute/base/gate_spec.js';
import type { CustomGate } from '../../experts/routing/custom_gate.js';
import { failed, given, kindOf, type Owner } from './calls.js';
import type { Registered } from './plugin_registry.js';

/** The gate, and PLUGIN_FAILED where it throws, or chooses what can't be. */
export function checkedGate(owner: Registered<CustomGate>): CustomGate {
  const { value: gate } = owner;
  return {
    route(batch, own) {
      const where = `in MoE layer ${batch.moeLayer} of step ${batch.step}`;
      const routing: unknown = given(owner, where, () => gate.route(batch, own));
      checkRouting(owner, where, routing, { ...batch, numExperts: batch.spec.numExperts });
      return routing;
    },
  };
}

interface RoutingShape {
  readonly numTokens: number;
  readonly numTopk: number;
  readonly numExperts: number;
}

function checkRouting(owner: Owner, where: string, routing: unknown, shape: RoutingShape): asserts routing is Routing {
  const { numTokens, numTopk, numExperts } = shape;
  const { topkIdx, topkWeights } = (routing ?? {}) as { readonly [K in keyof Routing]?: unknown };
  const numChoices = numTokens * numTopk;
  const asked = `of ${numTokens} tokens × ${numTopk} choices = ${numChoices}`;
  if (!(topkIdx instanceof Int32Array) || topkIdx.length !== numChoices) {
    throw failed(owner, `gave ${kindOf(topkIdx)} as topkIdx ${where}; give an Int32Array ${asked}`);
  }
  if (!(topkWeights instanceof Float32Array) || topkWeights.length !== numChoices) {
    throw failed(owner, `gave ${kindOf(topkWeights)} as topkWeights ${where}; give a Float32Array ${asked}`);
  }
  const lastToken = new Int32Array(numExperts).fill(-1);
  for (let i = 0; i < numChoices; i++) {
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
