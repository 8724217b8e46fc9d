/** The hooks of one request: told of a step's tokens before the request takes them. */
import { causeText } from '../../../base/foreign_text.js';
import { isThenable } from '../../../base/foreign_value.js';
import { moeLayersOf, type ModelSpec } from '../../model/spec/spec.js';
import { EngineError } from '../../protocol/errors.js';
import type { HookEvent } from '../../protocol/hook.js';
import { tokensAt, type LookedPart } from '../../protocol/look.js';
import type { PlanPart, SequenceOutput } from '../../protocol/step_plan.js';
import type { CheckedHook } from './checked_hook.js';
import { eventOf } from './hook_event.js';
import { TokenTables } from './token_tables.js';

/** What hooks are told of the request. */
export interface HookedRequest {
  readonly sequence: number;
  readonly id: string | null;
  readonly numPromptTokens: number;
  readonly spec: ModelSpec;
}

/** One after the other. Why: docs/decisions/hooks.md#steps-wait-for-hooks */
export class ToldHooks {
  private readonly moeLayers: readonly number[];

  constructor(
    private readonly hooks: readonly CheckedHook[],
    private readonly request: HookedRequest,
  ) {
    this.moeLayers = moeLayersOf(request.spec);
  }

  /** Resolves when all hooks have heard of the part, or of so much of it as there was before `over`. @throws EngineError HOOK_FAILED */
  async tell(part: PlanPart, output: SequenceOutput, over: AbortSignal): Promise<void> {
    const tables = new TokenTables(part, output, this.moeLayers);
    for (const hook of this.hooks) await this.tellOne(hook, part, tables, over);
  }

  private async tellOne(hook: CheckedHook, part: PlanPart, tables: TokenTables, over: AbortSignal): Promise<void> {
    const { sequence, id: request, spec } = this.request;
    for (const token of tokensAt([hook.look], this.placeOf(part))) {
      const own = { sequence, request, position: part.position + token, tokenId: part.tokenIds[token]! };
      for (const { point, layer } of hook.sights) {
        if (over.aborted) return;
        const event = eventOf(point, { ...own, layer }, (table, at) => tables.row(table, at, token)!, spec);
        try {
          const told: unknown = hook.onEvent(event);
          if (isThenable(told)) await told;
        } catch (cause) {
          throw failed(event, cause);
        }
      }
    }
  }

  private placeOf({ sequence, position, tokenIds }: PlanPart): LookedPart {
    return { sequence, position, numTokens: tokenIds.length, numPromptTokens: this.request.numPromptTokens };
  }
}

function failed({ point, layer, position }: HookEvent, cause: unknown): EngineError {
  const text = `a hook threw at ${point} of layer ${layer}, position ${position}: ${causeText(cause)}; mend its onEvent`;
  return new EngineError('HOOK_FAILED', text, { cause });
}
