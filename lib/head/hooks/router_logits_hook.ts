import type { ModelSpec } from '../../model/spec/spec.js';
import type { HookEvent } from '../../protocol/hook.js';
import type { GenerationRequest } from '../../protocol/request.js';
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
