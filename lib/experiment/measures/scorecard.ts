/** `measure: scorecard`: effect, performance and cost of a configuration, for a page with several side by side. */
import * as z from 'zod';
import { boolean, key } from '../../config/key_types.js';
import { isLoose } from '../../config/loss_policy.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { OpenedModel } from '../../head/opened_model.js';
import type { MeasureInfo } from '../base/measure_info.js';
import type { Corner, MetricInfo } from '../base/metric.js';
import type { PlannedRun } from '../base/run.js';
import { configKeys } from './keys.js';
import { linkSchema } from './link.js';
import { loadSchema } from './load.js';
import { time } from './metric_kinds.js';
import { AGREEMENT, QUALITY, scoreMeasure } from './score.js';
import { checkServe, SERVE_METRICS, serveSettings } from './serve.js';
import { textKeys } from './texts.js';

/**
 * Of the configuration where it isn't said otherwise: one rank, which rounds nothing, of the model as its folder has it. Plug-ins stay: without their gates and
 * codecs they bring nothing to it but the model's family.
 */
const EXACT = {
  model_overrides: null,
  'parallel.ranks': 1,
  'parallel.max_ranks': 'auto',
  'parallel.spare_ranks': 0,
  'elastic.enabled': false,
  'load_balance.enabled': false,
  'experts.placement': 'linear',
  'experts.num_redundant_experts': 0,
  'experts.routing': 'gate',
  'comm.num_nodes': 1,
  'comm.reduce': 'source',
  'comm.wire.dispatch': 'f32',
  'comm.wire.combine': 'f32',
  'experts.resident': 'auto',
  'dense.resident': 'auto',
  'experts.gate': 'model',
  'experts.skip_threshold': 0,
  'experts.defer': 0,
  'engine.kv_dtype': 'f32',
  'kernels.activations': 'f32',
};

const settings = z.strictObject({
  ...serveSettings,
  reference: configKeys().default(EXACT),
  kill: boolean.default(true),
  cost_per_hour: key(z.number().gt(0).nullable(), 'a number over 0, or null', 'number', 'null').default(null),
});

/**
 * Of `measure` beside its kind. `reference`: what answers are held against. `kill`: the load is played once more, and a rank killed in its middle. `cost_per_hour`:
 * of all machines of the configuration, in any currency; null: no money is told.
 */
export interface ScorecardSettings {
  readonly reference: ExpertwireConfig;
  readonly kill: boolean;
  readonly cost_per_hour: number | null;
}

/** Of a run of this measure. */
export const scorecardSettingsOf = ({ measure }: Pick<PlannedRun, 'measure'>): ScorecardSettings =>
  measure as unknown as ScorecardSettings;

const ofServe = (...names: string[]): Record<string, MetricInfo> =>
  Object.fromEntries(names.map((name) => [name, SERVE_METRICS[name]!]));

const underKill = (what: string): string =>
  `${what}, of the load that is played again while a rank is killed in its middle`;

const KILL: Readonly<Record<string, MetricInfo>> = {
  kill_stall_ms: time('ms', 'lower', underKill('longest gap between two chunks with tokens of a request')),
  kill_good_share: time('', 'higher', underKill('requests within all targets / all requests')),
  kill_failed: time('', 'lower', underKill('requests that failed')),
  kill_recovery_ms: time('ms', 'lower', 'from the kill until each expert has a home again; null: one never had'),
};

const PER_TOKEN: Readonly<Record<string, MetricInfo>> = {
  core_s_per_mtoken: time(
    'core·s/Mtoken',
    'lower',
    'processor time of head and ranks / 10⁶ tokens that were computed, of prompts and answers',
  ),
};

const MONEY: Readonly<Record<string, MetricInfo>> = {
  cost_per_mtoken: time('1/Mtoken', 'lower', 'cost_per_hour × duration / 10⁶ tokens of prompts and whole answers'),
};

/** Metrics of one corner, in the order of a page. */
const corner = (name: Corner, metrics: Readonly<Record<string, MetricInfo>>): Readonly<Record<string, MetricInfo>> =>
  Object.fromEntries(Object.entries(metrics).map(([key, info]) => [key, { ...info, corner: name }]));

const { kl_nats: kl, ...agreement } = AGREEMENT;

/** The three corners of the triangle. The first metric of each decides who is on the Pareto front. */
export const SCORECARD: Readonly<Record<Corner, Readonly<Record<string, MetricInfo>>>> = {
  effect: corner('effect', { kl_nats: kl!, ...QUALITY, ...agreement }),
  performance: corner('performance', {
    ...ofServe('goodput_per_s', 'good_share', 'tokens_per_s', 'ttft_p50_ms', 'ttft_p99_ms', 'itl_p50_ms', 'itl_p99_ms'),
    ...ofServe('failed'),
    ...KILL,
  }),
  cost: corner('cost', {
    ...PER_TOKEN,
    ...MONEY,
    ...ofServe('bytes_per_token', 'bytes_per_token_and_pair', 'resident_bytes', 'peak_rss_bytes'),
  }),
};

/** Whether a rank can be lost, and the rest goes on: otherwise nobody is killed. */
export const canLoseRank = ({ comm, parallel }: Pick<ExpertwireConfig, 'comm' | 'parallel'>): boolean =>
  isLoose(comm) && parallel.ranks > 1;

/** @throws ConfigError for texts, a reference or a load that can't be */
async function check(run: PlannedRun, model: OpenedModel | null): Promise<void> {
  await scoreMeasure.check!(run, model);
  checkServe({ config: run.config, workload: { ...run.workload, kills: null } }, model!);
}

/** Effect, performance and cost of a configuration. */
export const scorecardMeasure: MeasureInfo = {
  describe: 'Effect (against a reference), performance (under load, and under a kill) and cost, on one page',
  settings,
  workload: z.strictObject({ ...textKeys, load: loadSchema(), link: linkSchema() }),
  metricsOf: ({ kill, cost_per_hour: costPerHour }: ScorecardSettings) => {
    const isTold = (name: string): boolean =>
      (kill || !Object.hasOwn(KILL, name)) && (costPerHour !== null || !Object.hasOwn(MONEY, name));
    const all = Object.entries({ ...SCORECARD.effect, ...SCORECARD.performance, ...SCORECARD.cost });
    return Object.fromEntries(all.filter(([name]) => isTold(name)));
  },
  hasEngine: true,
  files: ['text_files', 'load.file'],
  configs: ['reference'],
  check,
};
