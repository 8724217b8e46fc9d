import { expertCountsOf, type ModelSpec } from '../../model/spec/spec.js';
import { EngineError } from '../../protocol/errors.js';
import type { HookEvent } from '../../protocol/hook.js';
import { MAX_ROUTER_LOGITS, type GenerationRequest } from '../../protocol/request.js';
import { checkedHooks, type CheckedHook } from './checked_hook.js';

/** Takes the router logits of a generation's tokens, layer by layer. */
export interface LogitsTaker {
  seeLogits(position: number, logits_E: Float32Array): void;
}

/** `returnRouterLogits` is a hook like any other; none where the request doesn't ask. */
export function routerLogitsHook(
  taker: LogitsTaker,
  { returnRouterLogits = false }: Pick<GenerationRequest, 'returnRouterLogits'>,
  spec: ModelSpec,
): CheckedHook[] {
  if (returnRouterLogits === false) return [];
  const hook = {
    points: { routerLogits: 'all' as const },
    share: Number(returnRouterLogits),
    onEvent: (event: HookEvent) => {
      if (event.point === 'routerLogits') taker.seeLogits(event.position, event.values);
    },
  };
  return checkedHooks([hook], 'returnRouterLogits', spec);
}

/** @throws EngineError INVALID_REQUEST where a request asks for too many */
export function checkRouterLogits(
  { returnRouterLogits = false, promptTokenIds, maxNewTokens }: GenerationRequest,
  spec: ModelSpec,
): void {
  const share = Number(returnRouterLogits);
  const numTokens = promptTokenIds.length + maxNewTokens;
  const perToken = expertCountsOf(spec).reduce((sum, count) => sum + count, 0);
  const asked = Math.ceil(share * numTokens) * perToken;
  if (asked <= MAX_ROUTER_LOGITS) return;
  const text =
    `the router logits of ${numTokens} tokens, a share of ${share} of them, are ${asked} numbers, and ${MAX_ROUTER_LOGITS} can be told; ` +
    'ask for a smaller share or fewer tokens';
  throw new EngineError('INVALID_REQUEST', text);
}
