/** Texts on an engine: what it thinks of them, and how far that is from what another one does. */
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { closing } from '../../../lib/commands/base/closing.js';
import type { Agreement } from '../../../lib/compare/agreement.js';
import { planComparison, type ComparedModel } from '../../../lib/compare/comparison_plan.js';
import type { LayerAgreement } from '../../../lib/compare/layer_agreement.js';
import type { RoutingAgreement } from '../../../lib/compare/routing_agreement.js';
import { perplexityOf as perplexityOfLogprobs } from '../../../lib/compare/text_pass.js';
import { TextComparison } from '../../../lib/compare/text_comparison.js';
import type { Metrics } from '../../../lib/experiment/base/metric.js';
import type { ScoredText } from '../../../lib/experiment/measures/texts.js';
import type { Engine } from '../../../lib/head/engine.js';
import type { ScoreResult } from '../../../lib/protocol/request.js';

/** A text and what came of its pieces. */
export interface TextScore {
  readonly text: ScoredText;
  readonly results: readonly ScoreResult[];
}

/** How near two engines are on a text. */
export interface TextAgreement {
  readonly text: ScoredText;
  readonly agreement: Agreement;
  /** Behind the last layer; null: the two have different shapes. */
  readonly last: LayerAgreement | null;
  readonly routing: RoutingAgreement;
  /** Of the reference. */
  readonly logprobs: readonly number[];
}

/** An engine, and what is known of its model. */
export interface ComparedEngine {
  readonly engine: Engine;
  readonly model: ComparedModel;
}

/** Scores all pieces of all texts at once. Errors as those of `Engine.score`. */
export const scoreTexts = (engine: Engine, texts: readonly ScoredText[], signal: AbortSignal): Promise<TextScore[]> =>
  Promise.all(
    texts.map(async (text) => ({
      text,
      results: await Promise.all(text.pieces.map((tokenIds) => engine.score({ tokenIds }, signal))),
    })),
  );

/** Holds what one engine makes of the texts against a reference, text by text. Errors as those of `Engine.score`; CompareError. */
export async function compareTexts(
  [reference, own]: readonly [ComparedEngine, ComparedEngine],
  texts: readonly ScoredText[],
  signal: AbortSignal,
): Promise<TextAgreement[]> {
  const compared: TextAgreement[] = [];
  for (const text of texts) {
    const plan = planComparison(reference.model, own.model, text.pieces, { numTokens: 0, maxToldBytes: 0 });
    const comparison = await TextComparison.create(plan, text.pieces, tmpdir());
    const { logprobs } = await closing(
      () => comparison.close(),
      async () => {
        const exact = await comparison.readA(reference.engine, text.pieces, { signal });
        await comparison.readB(own.engine, text.pieces, { signal });
        return exact;
      },
    );
    const { agreement, layers, routing } = comparison;
    compared.push({ text, agreement, last: plan.hasHidden ? layers.at(-1)! : null, routing, logprobs });
  }
  return compared;
}

/** exp(−Σ ln p / tokens) over all of them. */
export const perplexityOf = (results: readonly ScoreResult[]): number =>
  perplexityOfLogprobs(results.flatMap(({ logprobs }) => logprobs));

/** `AGREEMENT` of the measures; `perplexity`: of the run. */
export function agreementMetrics(compared: readonly TextAgreement[], perplexity: number): Metrics {
  const all = compared.map(({ agreement }) => agreement).reduce((sum, each) => sum.with(each));
  const last = compared.map((each) => each.last).reduce((sum, each) => sum && each && sum.with(each));
  const routing = compared.map((each) => each.routing).reduce((sum, each) => sum.with(each));
  const reference = perplexityOfLogprobs(compared.flatMap(({ logprobs }) => logprobs));
  return {
    reference_perplexity: reference,
    perplexity_ratio: perplexity / reference,
    kl_nats: all.meanDivergence,
    top1_agreement: all.sameShare,
    kl_p99_nats: all.divergenceQuantiles([0.99])[0]!,
    max_logit_error: all.largestError,
    rms_logit_error: all.rootMeanSquareError,
    hidden_error: last?.hiddenError ?? null,
    routing_agreement: routing.share,
  };
}

/** Hashes of what was computed. */
export function scoreTextMetrics(results: readonly ScoreResult[]): Metrics {
  const hashOf = (values: readonly unknown[]): string => {
    const hash = createHash('sha256');
    for (const value of values) hash.update(`${JSON.stringify(value)}\n`);
    return hash.digest('hex');
  };
  return {
    logprobs_sha256: hashOf(results.map(({ logprobs }) => logprobs)),
    routing_sha256: hashOf(results.map(({ routedExperts }) => routedExperts)),
  };
}
