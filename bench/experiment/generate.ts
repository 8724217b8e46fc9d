/** `measure: generate`: passes over the prompts to warm up, then one that is measured. */
import type { PlannedRun } from '../../lib/experiment/base/run.js';
import { settingsOf } from '../../lib/experiment/measures/generate.js';
import { linkOf } from '../../lib/experiment/measures/link.js';
import { promptsOf } from '../../lib/experiment/measures/prompts.js';
import type { Engine } from '../../lib/head/engine.js';
import { openModel } from '../../lib/head/opened_model.js';
import { moeLayersOf } from '../../lib/model/spec/spec.js';
import type { Measure, MeasureContext } from './base/measure.js';
import { measuredMetrics, type MeasuredPass } from './base/pass_metrics.js';
import { matrixDetails, promptDetails } from './base/pass_details.js';
import { runPass, type PassOptions } from './base/pass.js';
import { snapshotOf } from './base/snapshot.js';
import { withStartedEngine } from './base/started_engine.js';
import { WatchedSteps } from './base/watched_steps.js';

/** Errors as those of `Engine.start` and `Engine.generate`. */
export const measureGenerate: Measure = async (run, context) => {
  const { config } = run;
  const model = await openModel(config);
  const prompts = await promptsOf(run, model);
  const { routing } = settingsOf(run);
  const started = { config, model, numRequests: prompts.length, link: linkOf(run) };
  return withStartedEngine(started, context, async ({ engine, startMs }) => {
    const options = { config, prompts, routing, signal: context.signal };
    await warmUp(engine, run, options, context);
    const pass = await measuredPass(engine, options);
    return {
      metrics: measuredMetrics(pass, startMs),
      details: { ...matrixDetails(pass), ...promptDetails(pass.answers, pass.numExperts) },
      backend: pass.after.stats.backend,
    };
  });
};

/** Passes that don't count, after which ranks have forgotten what the next one could begin with. */
export async function warmUp(
  engine: Engine,
  { warmup }: Pick<PlannedRun, 'warmup'>,
  options: PassOptions,
  { onNotice }: Pick<MeasureContext, 'onNotice'>,
): Promise<void> {
  for (let i = 1; i <= warmup; i++) {
    const startMs = performance.now();
    await runPass(engine, options);
    onNotice(`warm-up ${i} of ${warmup}: ${(performance.now() - startMs).toFixed(0)} ms`);
    engine.resetPrefixCache();
  }
}

/** Answers all prompts and takes down what that came to. */
export async function measuredPass(engine: Engine, options: PassOptions): Promise<MeasuredPass> {
  const steps = new WatchedSteps(moeLayersOf(engine.spec).length, engine.numSeats);
  const unwatch = engine.watch(steps);
  try {
    const before = await snapshotOf(engine);
    const startMs = performance.now();
    const answers = await runPass(engine, options);
    const elapsedMs = performance.now() - startMs;
    return {
      answers,
      elapsedMs,
      steps,
      before,
      after: await snapshotOf(engine),
      numExperts: engine.spec.moe.gate.numExperts,
    };
  } finally {
    unwatch();
  }
}
