/** `measure: serve`: a server of the configuration, in a process of its own, under the load of clients. */
import * as z from 'zod';
import { ConfigError } from '../../config/errors.js';
import { key } from '../../config/key_types.js';
import type { OpenedModel } from '../../head/opened_model.js';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import type { PlannedRun } from '../base/run.js';
import { checkKills, killsSchema, type Kills } from './kills.js';
import { checkLink, linkSchema, type Link } from './link.js';
import { checkLoad, loadSchema, type LoadSettings } from './load.js';
import { count, latency, text, time } from './metric_kinds.js';

const target = (what: string) => key(z.number().gt(0), `milliseconds over 0: ${what}`, 'number').optional();

const goodput = z.strictObject({
  ttft_ms: target('time to the first token'),
  tpot_ms: target('time per further token'),
  e2el_ms: target('time to the last token'),
});

/** Of `measure` beside its kind. `goodput`: what a good request stays within; null: all that are answered are good. */
export const serveSettings = {
  goodput: key(
    goodput.readonly().nullable(),
    'a mapping with some of ttft_ms, tpot_ms and e2el_ms, or null',
    'mapping',
    'null',
  ).default(null),
};

/** What a server is asked, over which links, and what befalls it. */
export const serveWorkload = { load: loadSchema(), link: linkSchema(), kills: killsSchema() };

/** As a run has them. */
export type ServeSettings = z.infer<z.ZodObject<typeof serveSettings>>;

/** As a run has it. */
export interface ServeWorkload {
  readonly load: LoadSettings;
  readonly link: Link;
  readonly kills: Kills;
}

/** Of a run whose settings have {@link serveSettings}. */
export const serveSettingsOf = ({ measure }: Pick<PlannedRun, 'measure'>): ServeSettings =>
  measure as unknown as ServeSettings;

/** Of a run whose workload has {@link serveWorkload}. */
export const serveWorkloadOf = ({ workload }: Pick<PlannedRun, 'workload'>): ServeWorkload =>
  workload as unknown as ServeWorkload;

const PERFORMANCE: Readonly<Record<string, MetricInfo>> = {
  tokens_per_s: time('tokens/s', 'higher', 'tokens of whole answers / duration, from the start to the last end'),
  total_tokens_per_s: time('tokens/s', 'higher', 'tokens of their prompts and of whole answers / duration'),
  requests_per_s: time('requests/s', 'higher', 'requests that were answered whole / duration'),
  goodput_per_s: time('requests/s', 'higher', 'requests that were answered whole within all targets / duration'),
  good_share: time('', 'higher', 'requests that were answered whole within all targets / all requests'),
  ...latency('ttft', 'the time from sending a request to its first token'),
  ...latency('tpot', '(last token − first token) / (tokens − 1) of a request'),
  ...latency('itl', 'the gap between two chunks with tokens of a request'),
  ...latency('e2el', 'the time from sending a request to its last token'),
  longest_stall_ms: time('ms', 'lower', 'longest gap between two chunks with tokens of a request'),
  duration_s: time('s', null, 'from the start of the load to the end of its last answer'),
};

const FAULTS: Readonly<Record<string, MetricInfo>> = {
  failed: time('', 'lower', 'requests that were refused, broken off or not answered in time'),
  kills: time('', null, 'ranks that were killed while the load ran'),
  lost_ranks: time('', 'lower', 'ranks that the job lost while the load ran'),
  joined_ranks: time('', null, 'ranks that joined while the load ran'),
  noticed_ms: time('ms', 'lower', 'mean over kills of the time until the job goes on without the rank'),
  recovery_ms: time(
    'ms',
    'lower',
    'mean over kills of the time until each expert has a home again; null: one never had',
  ),
  recomputed_tokens: time('tokens', 'lower', 'tokens that were computed again, as their cache was lost'),
  skipped_choices: count('choices', null, 'choices of experts that weighed too little (experts.skip_threshold)'),
  degraded_tokens: time('tokens', 'lower', 'tokens computed without one of their experts, whose rank was lost'),
};

const COST: Readonly<Record<string, MetricInfo>> = {
  core_s: time('core·s', 'lower', 'processor time of the head with its server and of the ranks; null: a rank was lost'),
  core_ms_per_token: time(
    'core·ms/token',
    'lower',
    'core_s × 1000 / (tokens that were computed, of prompts and answers)',
  ),
  bytes_per_token: time('B/token', 'lower', '(dispatch + combine bytes between ranks) / (tokens that were computed)'),
  bytes_per_token_and_pair: time('B/token', 'lower', 'bytes_per_token / (ranks × (ranks − 1)), of ranks at the start'),
  peak_rss_bytes: time('B', 'lower', 'most memory that a rank took, of the largest one'),
  resident_bytes: time('B', 'lower', 'weights and KV cache that all ranks hold at the end, Σ over ranks'),
  cached_share: time('', 'higher', 'tokens of prompts from the prefix cache / tokens of prompts; null: not told'),
};

const COUNTS: Readonly<Record<string, MetricInfo>> = {
  num_requests: count('', null, 'requests that were sent'),
  late_client: time('', 'lower', '1: the client itself was so late that its figures are of it; 0: it was not'),
  start_ms: time('ms', 'lower', 'from starting the ranks until the server takes requests'),
  answers_sha256: text(
    'SHA-256 of all answers; null: some failed, or a token may differ by which requests a step joins (comm.reduce is not source, or the wire not f32)',
  ),
};

/** By name. */
export const SERVE_METRICS: Readonly<Record<string, MetricInfo>> = { ...PERFORMANCE, ...FAULTS, ...COST, ...COUNTS };

/** @throws ConfigError */
export function checkServe({ config, workload }: Pick<PlannedRun, 'config' | 'workload'>, model: OpenedModel): void {
  const { load, link, kills } = serveWorkloadOf({ workload });
  checkLoad(load, model.limits.maxModelLen);
  checkLink(config, link);
  checkKills(config, kills);
  const needsText = load.endpoint === 'chat' || load.prompts === 'text' || load.dataset === 'file';
  if (!needsText || model.tokenizer !== undefined) return;
  const why = `asks in text, but ${config.model} has no tokenizer; set "prompts" to tokens`;
  throw new ConfigError('INVALID_VALUE', `"workload.load" ${why}`, { key: 'workload.load' });
}

/** A server under load: latencies, throughput, goodput, and what faults do to them. */
export const serveMeasure: MeasureInfo = {
  describe: 'A server under load: latencies, throughput, goodput, and what slow links and kills of ranks do to them',
  settings: z.strictObject(serveSettings),
  workload: z.strictObject(serveWorkload),
  metricsOf: () => SERVE_METRICS,
  hasEngine: true,
  files: ['load.file'],
  check: (run, model) => checkServe(run, model!),
};
