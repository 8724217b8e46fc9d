/** What steps send to the head of a sequence's tokens, beside their ids: large where somebody looks, so that steps are cut by it. Pure. */
import { heldTopkOf } from '../../model/spec/slices.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import { isAt, outputRowsAtOnce, rowLengthOf, sightsOf, tokensAt, type Look, type Sight } from '../../protocol/look.js';
import type { OutputExchanges, SequenceWants, StepPlan } from '../../protocol/step_plan.js';

/** Whose tokens are told of. */
export interface ToldRequest {
  readonly sequence: number;
  readonly promptTokenIds: readonly number[];
  readonly wants: SequenceWants;
}

/** The sizes of what is told. */
export interface Told {
  /** Of the request's token at a position. */
  bytesOf(request: ToldRequest): (position: number) => number;
  /** Choices per token that ranks compute. */
  readonly numTopk: number;
}

/** Of a model's tokens. */
export function toldOf(spec: ModelSpec): Told {
  return {
    numTopk: heldTopkOf(spec),
    bytesOf({ sequence, promptTokenIds, wants }) {
      const sights = sightsOf(wants.looks ?? []);
      const numLogits = wants.logits ? spec.vocabSize : 0;
      return (position) => {
        const isPrompt = position < promptTokenIds.length;
        const isSeen = ({ looks }: Sight): boolean => looks.some((look) => isAt(look, sequence, position, isPrompt));
        const numFloats = (sum: number, sight: Sight): number => (isSeen(sight) ? sum + rowLengthOf(sight, spec) : sum);
        return 4 * sights.reduce(numFloats, numLogits);
      };
    },
  };
}

/** Whether anything is told of tokens that are computed. */
export const isTold = ({ logits, looks }: SequenceWants): boolean => logits || looks !== undefined;

/** What the exchanges of a step depend on. */
export interface ExchangeSizes {
  readonly numTopk: number;
  readonly maxNumBatchedTokens: number;
}

/** In how many exchanges ranks fetch expert outputs at each layer where one wants any: as many as the one that wants most. Undefined: none does. */
export function outputExchanges(
  plans: readonly Pick<StepPlan, 'parts'>[],
  requestOf: (sequence: number) => ToldRequest,
  { numTopk, maxNumBatchedTokens }: ExchangeSizes,
): readonly OutputExchanges[] | undefined {
  const most = new Map<number, number>();
  for (const { parts } of plans) {
    const own = new Map<number, number>();
    for (const part of parts) {
      const { promptTokenIds, wants } = requestOf(part.sequence);
      if (wants.looks === undefined || part.isReplay) continue;
      const { sequence, position, tokenIds } = part;
      const place = { sequence, position, numTokens: tokenIds.length, numPromptTokens: promptTokenIds.length };
      for (const { layer, looks } of outputSights(wants.looks)) {
        own.set(layer, (own.get(layer) ?? 0) + tokensAt(looks, place).length);
      }
    }
    for (const [layer, numRows] of own) most.set(layer, Math.max(most.get(layer) ?? 0, numRows));
  }
  const atOnce = outputRowsAtOnce(maxNumBatchedTokens);
  const exchanges = [...most]
    .filter(([, numRows]) => numRows > 0)
    .map(([layer, numRows]) => ({ layer, numExchanges: Math.ceil((numRows * numTopk) / atOnce) }));
  return exchanges.length === 0 ? undefined : exchanges;
}

const outputSights = (looks: readonly Look[]): Sight[] =>
  sightsOf(looks).filter(({ table }) => table === 'expert_outputs');
