/**
 * `measure: scorecard`: texts beside a reference, a load on a server, and the load again while a rank is killed.
 * Why: docs/decisions/experiments.md#a-kill-has-a-load-of-its-own
 */
import type { Metrics } from '../../lib/experiment/base/metric.js';
import type { PlannedRun } from '../../lib/experiment/base/run.js';
import { canLoseRank, SCORECARD, scorecardSettingsOf } from '../../lib/experiment/measures/scorecard.js';
import type { Measure, MeasureContext, MeasureResult } from './base/measure.js';
import { measureScore } from './score.js';
import { measuredLoad, warmUp, withRunServer } from './serving/run_server.js';

/** When a new rank comes, after a kill: as a launcher would start it. */
const RETURN_MS = 1000;

/** Errors as those of the measures score and serve. */
export const measureScorecard: Measure = async (run, context) => {
  // Distributions are the same over any link.
  const scored = await measureScore({ ...run, warmup: 0, workload: { ...run.workload, link: null } }, context);
  const { quiet, killed } = await served(run, context);
  const { kill, cost_per_hour: costPerHour } = scorecardSettingsOf(run);
  return {
    metrics: {
      ...picked(scored.metrics, SCORECARD.effect),
      ...picked(quiet.metrics, { ...SCORECARD.performance, ...SCORECARD.cost }),
      ...(kill && killMetrics(killed?.metrics ?? {})),
      ...costMetrics(quiet.metrics, costPerHour),
    },
    details: { ...quiet.details, texts: scored.details.texts ?? [] },
    backend: quiet.backend,
  };
};

interface Served {
  readonly quiet: MeasureResult;
  /** Null: no rank can be lost alone, or none is to be. */
  readonly killed: MeasureResult | null;
}

const served = (run: PlannedRun, context: MeasureContext): Promise<Served> =>
  withRunServer(run, context, async (started) => {
    await warmUp(started, run.warmup, context);
    const quiet = await measuredLoad(started, null, context);
    if (!scorecardSettingsOf(run).kill || !canLoseRank(run.config)) return { quiet, killed: null };
    await started.server.forget();
    const atMs = (1000 * (quiet.metrics.duration_s as number)) / 2;
    const once = { kind: 'once', atMs, returnMs: RETURN_MS, seed: run.seed } as const;
    return { quiet, killed: await measuredLoad(started, once, context) };
  });

const picked = (metrics: Metrics, names: Readonly<Record<string, unknown>>): Metrics =>
  Object.fromEntries(Object.entries(metrics).filter(([name]) => Object.hasOwn(names, name)));

const killMetrics = ({
  longest_stall_ms: stall,
  good_share: good,
  failed,
  recovery_ms: recovery,
}: Metrics): Metrics => ({
  kill_stall_ms: stall ?? null,
  kill_good_share: good ?? null,
  kill_failed: failed ?? null,
  kill_recovery_ms: recovery ?? null,
});

/** Pure. */
export function costMetrics(
  { core_ms_per_token: coreMs, duration_s: duration, total_tokens_per_s: perS }: Metrics,
  costPerHour: number | null,
): Metrics {
  const numTokens = (duration as number) * (perS as number);
  const cost = costPerHour !== null && (costPerHour * (duration as number)) / 3600;
  return {
    core_s_per_mtoken: typeof coreMs === 'number' ? coreMs * 1000 : null,
    ...(cost !== false && { cost_per_mtoken: numTokens === 0 ? null : (1e6 * cost) / numTokens }),
  };
}
