/** The server of a run, and loads on it. */
import { causeText } from '../../../base/foreign_text.js';
import { ConfigError } from '../../../lib/config/errors.js';
import type { PlannedRun } from '../../../lib/experiment/base/run.js';
import { limitsOf } from '../../../lib/experiment/measures/link.js';
import { serveSettingsOf, serveWorkloadOf } from '../../../lib/experiment/measures/serve.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { isBitwise } from '../../../lib/head/scheduling/blocks/prefix_sharing.js';
import type { ModelSpec } from '../../../lib/model/spec/spec.js';
import { makeDataset } from '../../serve/datasets/make_dataset.js';
import { tokenPrompts } from '../../serve/load/prompt_maker.js';
import type { ServeOptions } from '../../serve/options.js';
import type { MeasureContext, MeasureResult } from '../base/measure.js';
import type { KillOptions } from './kill_plan.js';
import { loadMetrics, requestDetails } from './load_metrics.js';
import { playedLoad, serveOptions } from './played_load.js';
import { withServer, type RunningServer } from './server.js';

/** A server, and what it is asked. */
export interface StartedServer {
  readonly server: RunningServer;
  readonly options: ServeOptions;
  /** Answers don't depend on which requests run beside them. */
  readonly areBitwise: boolean;
}

/** Runs `work` with a server of the run's configuration, over its links, and ends it. @throws ExperimentError */
export async function withRunServer<T>(
  run: PlannedRun,
  context: MeasureContext,
  work: (started: StartedServer) => Promise<T>,
): Promise<T> {
  const { config } = run;
  const { spec } = await openModel(config);
  const start = { config, limits: limitsOf(serveWorkloadOf(run).link), env: context.env };
  return withServer(start, context, (server) => {
    const options = optionsOf(run, spec.vocabSize, server.url);
    return work({ server, options, areBitwise: isBitwise(config) && !hasForms(run, spec) });
  });
}

/** Latent attention has two forms, and which one a chunk of a prompt takes may depend on the others. */
const hasForms = ({ config }: PlannedRun, { attention }: ModelSpec): boolean =>
  attention.kind === 'mla' && config.engine.mla === 'auto';

/** What neither schema nor configuration says of a load: its options together, and what is in its file. @throws UsageError, ConfigError */
export async function checkServeLoad(run: PlannedRun): Promise<void> {
  const { spec, limits } = await openModel(run.config);
  const { dataset, numPrompts, seed, vocabSize } = optionsOf(run, spec.vocabSize);
  if (!('file' in dataset)) return;
  const make = tokenPrompts(seed, vocabSize);
  try {
    await makeDataset(dataset, { numPrompts, seed, make, maxModelLen: limits.maxModelLen });
  } catch (cause) {
    throw new ConfigError('INVALID_VALUE', causeText(cause), { key: 'workload.load.file', cause });
  }
}

/** So many loads that don't count; then no prompt begins with what they computed. */
export async function warmUp(
  { server, options }: StartedServer,
  count: number,
  { onNotice, signal }: MeasureContext,
): Promise<void> {
  for (let i = 1; i <= count; i++) {
    const { figures } = await playedLoad(options, signal);
    onNotice(`warm-up ${i} of ${count}: ${figures.durationMs.toFixed(0)} ms`);
    await server.forget();
  }
}

/** One load, and what it came to for clients and server. @throws ServeBenchError */
export async function measuredLoad(
  { server, options, areBitwise }: StartedServer,
  kills: KillOptions | null,
  { onNotice, signal }: MeasureContext,
): Promise<MeasureResult> {
  const result = await playedLoad(options, signal, () => server.begin(kills));
  const { metrics, details, backend } = await server.end();
  for (const { kind, reason, count } of result.figures.failures)
    onNotice(`${count} requests failed: ${kind}, ${reason}`);
  return {
    metrics: { ...loadMetrics(result, areBitwise), ...metrics },
    details: { ...details, requests: requestDetails(result.records, options.targets) },
    backend,
  };
}

function optionsOf(run: PlannedRun, vocabSize: number, url?: string): ServeOptions {
  const { load } = serveWorkloadOf(run);
  const options = serveOptions(load, serveSettingsOf(run).goodput, { seed: run.seed, vocabSize }, url);
  return { ...options, blockSize: run.config.engine.block_size };
}
