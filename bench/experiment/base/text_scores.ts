/** Texts on an engine: what it thinks of them, and how far that is from what another one does. */
import { createHash } from 'node:crypto';
import type { Metrics } from '../../../lib/experiment/base/metric.js';
import type { ScoredText } from '../../../lib/experiment/measures/texts.js';
import type { Engine } from '../../../lib/head/engine.js';
import type { ScoreResult } from '../../../lib/protocol/request.js';
import { Agreement } from '../../../lib/compare/agreement.js';
import { scoredLogits } from '../../base/scored_logits.js';

/** A text and what came of its pieces. */
export interface TextScore {
  readonly text: ScoredText;
  readonly results: readonly ScoreResult[];
}

/** How near two engines are on a text. */
export interface TextAgreement {
  readonly text: ScoredText;
  readonly agreement: Agreement;
  /** Of the reference. */
  readonly results: readonly ScoreResult[];
}

/** Scores all pieces of all texts at once. Errors as those of `Engine.score`. */
export const scoreTexts = (engine: Engine, texts: readonly ScoredText[], signal: AbortSignal): Promise<TextScore[]> =>
  Promise.all(
    texts.map(async (text) => ({
      text,
      results: await Promise.all(text.pieces.map((tokenIds) => engine.score({ tokenIds }, signal))),
    })),
  );

/** Holds the logits of one engine against those of another, piece by piece: of one piece they are in memory at a time. Errors as those of `Engine.score`. */
export async function compareTexts(
  engine: Engine,
  reference: Engine,
  texts: readonly ScoredText[],
  signal: AbortSignal,
): Promise<TextAgreement[]> {
  const compared: TextAgreement[] = [];
  for (const text of texts) {
    const agreement = new Agreement(engine.spec.vocabSize);
    const results: ScoreResult[] = [];
    for (const tokenIds of text.pieces) {
      const exact = await scoredLogits(reference, tokenIds, signal);
      const { logits } = await scoredLogits(engine, tokenIds, signal);
      agreement.add(exact.logits, logits);
      results.push(exact.result);
    }
    compared.push({ text, agreement, results });
  }
  return compared;
}

/** exp(−Σ ln p / tokens) over all of them. */
export function perplexityOf(results: readonly ScoreResult[]): number {
  const logprobs = results.flatMap(({ logprobs: own }) => own);
  return Math.exp(-logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length);
}

/** `AGREEMENT` of the measures; `perplexity`: of the run. */
export function agreementMetrics(compared: readonly TextAgreement[], perplexity: number): Metrics {
  const all = compared.map(({ agreement }) => agreement).reduce((sum, each) => sum.with(each));
  const reference = perplexityOf(compared.flatMap(({ results }) => results));
  return {
    reference_perplexity: reference,
    perplexity_ratio: perplexity / reference,
    kl_nats: all.meanDivergence,
    top1_agreement: all.sameShare,
    max_logit_error: all.largestError,
    rms_logit_error: all.rootMeanSquareError,
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
