/** `measure: generate`: all prompts at once on an engine of the run's own process, its ranks beside it. */
import * as z from 'zod';
import { boolean } from '../../config/key_types.js';
import { requestOf } from '../../head/config_request.js';
import { checkGeneration, type OpenedModel } from '../../head/opened_model.js';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import type { PlannedRun } from '../base/run.js';
import { checkLink, linkOf, linkSchema } from './link.js';
import { count, latency, text, time } from './metric_kinds.js';
import { promptKeys, promptsOf } from './prompts.js';

/** Of `measure` beside its kind. */
export interface GenerateSettings {
  /** The experts of each token are told: `routing_sha256`, and which experts each prompt heats. No token of a prompt comes from the prefix cache then. */
  readonly routing: boolean;
}

/** @throws ConfigError, EngineError for prompts that can't be answered */
async function check(run: PlannedRun, model: OpenedModel | null): Promise<void> {
  const asked = { returnRoutedExperts: settingsOf(run).routing };
  checkLink(run.config, linkOf(run));
  const prompts = await promptsOf(run, model!);
  for (const [i, prompt] of prompts.entries()) {
    checkGeneration(requestOf(run.config, prompt, i, asked), model!, run.config.model);
  }
}

/** Of a run of this measure. */
export const settingsOf = ({ measure }: Pick<PlannedRun, 'measure'>): GenerateSettings =>
  measure as unknown as GenerateSettings;

const SPEED: Readonly<Record<string, MetricInfo>> = {
  tokens_per_s: time('tokens/s', 'higher', 'tokens of all outputs / time from the first request to the last token'),
  prefill_tokens_per_s: time(
    'tokens/s',
    'higher',
    'tokens of prompts / time from the first request until each has its first token',
  ),
  decode_tokens_per_s: time(
    'tokens/s',
    'higher',
    '(tokens of outputs − prompts) / time from when each has its first token to the last token',
  ),
  ...latency('ttft', 'the time from a request to its first token'),
  ...latency('tpot', '(last token − first token) / (tokens − 1) of a request'),
  ...latency('itl', 'the time from a token to the next one of its request'),
  ...latency('e2el', 'the time from a request to its last token'),
  elapsed_ms: time('ms', 'lower', 'from the first request to the last token'),
  step_p50_ms: time('ms', 'lower', 'median of the time of a step'),
  step_p99_ms: time('ms', 'lower', '99th percentile of the time of a step'),
  attention_share: time('', null, 'time in attention / time of all phases, mean over ranks'),
  experts_share: time('', null, 'time in experts / time of all phases, mean over ranks'),
  exchange_share: time(
    '',
    'lower',
    'time in dispatch and combine, waiting included / time of all phases, mean over ranks',
  ),
  start_ms: time('ms', 'lower', 'from starting the ranks until the engine takes requests'),
};

const COST: Readonly<Record<string, MetricInfo>> = {
  core_s: time(
    'core·s',
    'lower',
    'processor time of the head and its ranks, user and system, from first request to last token',
  ),
  core_ms_per_token: time('core·ms/token', 'lower', 'core_s × 1000 / (prompt_tokens + output_tokens)'),
  peak_rss_bytes: time('B', 'lower', 'most memory that a rank took, of the largest one'),
  resident_bytes: count('B', 'lower', 'weights and KV cache that all ranks hold at the end, Σ over ranks'),
  bytes_per_token: count('B/token', 'lower', '(dispatch_bytes + combine_bytes) / (prompt_tokens + output_tokens)'),
  dispatch_bytes: count('B', 'lower', 'rows to the ranks of their experts, between ranks, headers included'),
  combine_bytes: count('B', 'lower', 'sums back from the ranks of the experts, between ranks, headers included'),
};

const BALANCE: Readonly<Record<string, MetricInfo>> = {
  balancedness: count(
    '',
    'higher',
    'of steps: Σ mean rank load / Σ highest rank load, both sums over steps and MoE layers; 1 = no rank waits for another',
  ),
  balancedness_total: count(
    '',
    'higher',
    'of the whole run as one batch: Σ mean rank load / Σ highest rank load over MoE layers; above balancedness, as steps that lean to different ranks even out',
  ),
  makespan_per_token: count(
    'choices/token',
    'lower',
    'Σ over steps and MoE layers of the choices that the busiest rank computes / (prompt_tokens + output_tokens)',
  ),
  rebalances: time('', null, 'plans that were carried out (load_balance)'),
  moved_experts: time('', 'lower', 'experts that came to other ranks (load_balance)'),
  moved_bytes: time('B', 'lower', 'bytes of experts that came to other ranks (load_balance)'),
};

const COUNTS: Readonly<Record<string, MetricInfo>> = {
  num_prompts: count('', null, 'prompts'),
  prompt_tokens: count('tokens', null, 'tokens of prompts that were computed: without those of the prefix cache'),
  output_tokens: count('tokens', null, 'tokens of all outputs'),
  steps: count('steps', 'lower', 'steps of the engine'),
  preempted: count('', 'lower', 'requests that gave way for want of KV blocks'),
  skipped_choices: count('choices', null, 'choices of experts that weighed too little (experts.skip_threshold)'),
  degraded_tokens: time('tokens', 'lower', 'tokens computed without one of their experts, whose rank was lost'),
  lost_ranks: time('', 'lower', 'ranks that were lost'),
};

const TEXTS: Readonly<Record<string, MetricInfo>> = {
  tokens_sha256: text('SHA-256 of the token ids of all outputs, in the order of the prompts'),
};

const ROUTING: Readonly<Record<string, MetricInfo>> = {
  routing_sha256: text('SHA-256 of the experts of every token, by prompt, token, MoE layer and choice'),
};

/** Prompts are continued by an engine in the process of the run. */
export const generateMeasure: MeasureInfo = {
  describe: 'Prompts on an engine: speed, latencies, bytes, balance, memory and processor time',
  settings: z.strictObject({ routing: boolean.default(true) }),
  workload: z.strictObject({ ...promptKeys, link: linkSchema() }),
  metricsOf: ({ routing }: GenerateSettings) => ({
    ...SPEED,
    ...COST,
    ...BALANCE,
    ...COUNTS,
    ...TEXTS,
    ...(routing && ROUTING),
  }),
  hasEngine: true,
  files: ['prompts_file'],
  check,
};
