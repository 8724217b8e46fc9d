/** `measure: score`: what it takes and gives. */
import * as z from 'zod';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { checkTokens, openModel, type OpenedModel } from '../../head/opened_model.js';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import type { PlannedRun } from '../base/run.js';
import { configKeys } from './keys.js';
import { checkLink, linkOf, linkSchema } from './link.js';
import { count, text, time } from './metric_kinds.js';
import { textKeys, textsOf } from './texts.js';

/** Of `measure` beside its kind. */
export interface ScoreSettings {
  /** Whole; null: nothing is compared. */
  readonly reference: ExpertwireConfig | null;
}

/** Of a run of this measure. */
export const scoreSettingsOf = ({ measure }: Pick<PlannedRun, 'measure'>): ScoreSettings =>
  measure as unknown as ScoreSettings;

/** How good the model's distributions are, by themselves. */
export const QUALITY: Readonly<Record<string, MetricInfo>> = {
  perplexity: count(
    '',
    'lower',
    'exp(−Σ ln p(token) / tokens), over all tokens of the texts but the first of each piece',
  ),
  experts_per_token: count(
    'experts/token',
    'lower',
    'choices that experts computed / (tokens × MoE layers): the compute of routed experts',
  ),
};

/** How far they are from those of a reference. */
export const AGREEMENT: Readonly<Record<string, MetricInfo>> = {
  reference_perplexity: count('', null, 'perplexity of the reference on the same pieces'),
  perplexity_ratio: count('', 'lower', 'perplexity / reference_perplexity'),
  kl_nats: count(
    'nats',
    'lower',
    'mean over places of Σ p · ln(p / q), p of the reference, q of the run: what the run loses',
  ),
  top1_agreement: count('', 'higher', 'places where both have the same most likely token / places'),
  kl_p99_nats: count('nats', 'lower', 'the divergence that 99 of 100 places have at most'),
  max_logit_error: count('', 'lower', 'largest |logit − that of the reference| of all places and tokens'),
  rms_logit_error: count('', 'lower', 'root of the mean square of (logit − that of the reference)'),
  hidden_error: count(
    '',
    'lower',
    '√(Σ (state − that of the reference)² / Σ (that of the reference)²) behind the last layer; absent where they have different shapes',
  ),
  routing_agreement: count(
    '',
    'higher',
    "choices of the reference that the run makes too / the reference's; of a pruned model by what its experts were",
  ),
};

const OWN: Readonly<Record<string, MetricInfo>> = {
  num_tokens: count('tokens', null, 'tokens that were fed to the model'),
  scored_tokens: count('tokens', null, 'tokens whose probability counts: num_tokens − pieces'),
  tokens_per_s: time(
    'tokens/s',
    'higher',
    'num_tokens / time from the first request to the last result, all pieces at once',
  ),
  elapsed_ms: time('ms', 'lower', 'from the first request to the last result'),
  core_ms_per_token: time('core·ms/token', 'lower', 'processor time of the head and its ranks / num_tokens'),
  start_ms: time('ms', 'lower', 'from starting the ranks until the engine takes requests'),
  bytes_per_token: count(
    'B/token',
    'lower',
    'bytes dispatched and combined between ranks, headers included / num_tokens',
  ),
  resident_bytes: count('B', 'lower', 'weights and KV cache that all ranks hold at the end, Σ over ranks'),
  balancedness: count('', 'higher', 'Σ mean rank load / Σ highest rank load, both sums over steps and MoE layers'),
  steps: count('steps', 'lower', 'steps of the engine'),
  skipped_choices: count('choices', null, 'choices of experts that weighed too little (experts.skip_threshold)'),
  degraded_tokens: time('tokens', 'lower', 'tokens computed without one of their experts, whose rank was lost'),
  logprobs_sha256: text('SHA-256 of the log-probabilities of all tokens, in their order'),
  routing_sha256: text('SHA-256 of the experts of every token, by piece, token, MoE layer and choice'),
};

/** @throws ConfigError, EngineError for texts that can't be scored, or a reference that they can't be held against */
async function check(run: PlannedRun, model: OpenedModel | null): Promise<void> {
  const { reference } = scoreSettingsOf(run);
  checkLink(run.config, linkOf(run));
  const models = [model!, ...(reference === null ? [] : [await openModel(reference)])];
  for (const { pieces } of await textsOf(run, model!)) {
    for (const each of models) for (const piece of pieces) checkTokens(piece, 0, each);
  }
  const [own, other = own] = models.map(({ spec }) => spec.vocabSize);
  if (own === other) return;
  const what = `the reference's model has ${other} tokens, and the run's ${own}; give one of the same vocabulary`;
  throw new ConfigError('INVALID_VALUE', what, { key: 'measure.reference' });
}

/** Log-probabilities of texts, and how far they are from those of a reference. */
export const scoreMeasure: MeasureInfo = {
  describe: 'Log-probabilities of texts, and how far they are from those of a reference',
  settings: z.strictObject({ reference: configKeys().nullable().default(null) }),
  workload: z.strictObject({ ...textKeys, link: linkSchema() }),
  metricsOf: ({ reference }: ScoreSettings) => ({ ...QUALITY, ...(reference !== null && AGREEMENT), ...OWN }),
  hasEngine: true,
  files: ['text_files'],
  configs: ['reference'],
  check,
};
