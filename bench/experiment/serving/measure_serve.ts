/** `measure: serve`: loads to warm a server up, then one that is measured, while its ranks may be killed. */
import type { PlannedRun } from '../../../lib/experiment/base/run.js';
import { limitsOf } from '../../../lib/experiment/measures/link.js';
import type { ServeSettings, ServeWorkload } from '../../../lib/experiment/measures/serve.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { isBitwise } from '../../../lib/head/scheduling/blocks/prefix_sharing.js';
import type { ServeOptions } from '../../serve/options.js';
import type { Measure, MeasureContext } from '../base/measure.js';
import type { KillOptions } from './kill_plan.js';
import { loadMetrics, requestDetails } from './load_metrics.js';
import { playedLoad, serveOptions, withBlockSize } from './played_load.js';
import { withServer, type RunningServer } from './server.js';

/** What is asked of a server, and what befalls it. */
interface Played {
  readonly options: ServeOptions;
  readonly kills: KillOptions | null;
  readonly warmup: number;
}

/** The smallest that `bench serve` draws from: any will do where nothing is asked. */
const MIN_VOCAB = 1024;

/** @throws ExperimentError, ServeBenchError */
export const measureServe: Measure = async (run, context) => {
  const { link, kills } = workloadOf(run);
  const { spec } = await openModel(run.config);
  const start = { config: run.config, limits: limitsOf(link), env: context.env };
  return withServer(start, context, async (server) => {
    const options = optionsOf(run, spec.vocabSize, server.url);
    const faults = kills && { perMinute: kills.per_minute, returnMs: kills.return_ms, seed: kills.seed ?? run.seed };
    const played = { options, kills: faults, warmup: run.warmup };
    // Latent attention has two forms, and which one a chunk of a prompt takes depends on the others.
    const hasForms = spec.attention.kind === 'mla' && run.config.engine.mla === 'auto';
    return measuredLoad(server, played, isBitwise(run.config) && !hasForms, context);
  });
};

/** What neither schema nor configuration says of a load. @throws UsageError */
export function checkServeLoad(run: PlannedRun): void {
  optionsOf(run, MIN_VOCAB);
}

async function measuredLoad(
  server: RunningServer,
  { options, kills, warmup }: Played,
  areBitwise: boolean,
  { onNotice, signal }: MeasureContext,
): ReturnType<Measure> {
  for (let i = 1; i <= warmup; i++) {
    const { figures } = await playedLoad(options, signal);
    onNotice(`warm-up ${i} of ${warmup}: ${figures.durationMs.toFixed(0)} ms`);
    await server.forget();
  }
  const result = await playedLoad(options, signal, () => server.begin(kills));
  const { metrics, details, backend } = await server.end();
  for (const { kind, reason, count } of result.figures.failures)
    onNotice(`${count} requests failed: ${kind}, ${reason}`);
  return {
    metrics: { ...loadMetrics(result, areBitwise), ...metrics, start_ms: server.startMs },
    details: { ...details, requests: requestDetails(result.records, options.targets) },
    backend,
  };
}

const workloadOf = ({ workload }: PlannedRun): ServeWorkload => workload as unknown as ServeWorkload;

function optionsOf(run: PlannedRun, vocabSize: number, url?: string): ServeOptions {
  const { goodput } = run.measure as unknown as ServeSettings;
  const options = serveOptions(workloadOf(run).load, goodput, { seed: run.seed, vocabSize }, url);
  return withBlockSize(options, run.config);
}
