/** `measure: serve`: loads to warm a server up, then one that is measured, while its ranks may be killed. */
import type { PlannedRun } from '../../../lib/experiment/base/run.js';
import { serveWorkloadOf } from '../../../lib/experiment/measures/serve.js';
import type { Measure } from '../base/measure.js';
import type { KillOptions } from './kill_plan.js';
import { measuredLoad, warmUp, withRunServer } from './run_server.js';

/** @throws ExperimentError, ServeBenchError */
export const measureServe: Measure = (run, context) =>
  withRunServer(run, context, async (started) => {
    await warmUp(started, run.warmup, context);
    const { metrics, details, backend } = await measuredLoad(started, killsOf(run), context);
    return { metrics: { ...metrics, start_ms: started.server.startMs }, details, backend };
  });

function killsOf(run: PlannedRun): KillOptions | null {
  const { kills } = serveWorkloadOf(run);
  if (kills === null) return null;
  const { per_minute: perMinute, return_ms: returnMs, seed } = kills;
  return { kind: 'rate', perMinute, returnMs, seed: seed ?? run.seed };
}
