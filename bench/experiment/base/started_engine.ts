/** An engine for a run: started, told of in the run's log, and ended whatever happens. */
import { closing } from '../../../lib/commands/base/closing.js';
import type { ExpertwireConfig } from '../../../lib/config/schema.js';
import { limitsOf, type Link } from '../../../lib/experiment/measures/link.js';
import type { Engine, EngineOptions } from '../../../lib/head/engine.js';
import type { OpenedModel } from '../../../lib/head/opened_model.js';
import { startLinked } from '../../links/linked_engine.js';
import type { MeasureContext } from './measure.js';

/** An engine and how long it took to start. */
export interface StartedEngine {
  readonly engine: Engine;
  readonly startMs: number;
}

/** What is started. */
export interface EngineOrder {
  readonly config: ExpertwireConfig;
  readonly model: OpenedModel;
  /** It takes so many at once. */
  readonly numRequests: number;
  /** Between each two ranks. Default: straight. */
  readonly link?: Link;
}

/** Runs `work` with an engine. Errors as those of `Engine.start`. */
export async function withStartedEngine<T>(
  { config: asked, model, numRequests, link = null }: EngineOrder,
  { onNotice, signal }: MeasureContext,
  work: (started: StartedEngine) => Promise<T>,
): Promise<T> {
  const engineKeys = { ...asked.engine, max_num_waiting: Math.max(asked.engine.max_num_waiting, numRequests) };
  // Only a server has a use for ranks that outlive it.
  const parallel = { ...asked.parallel, head_grace_ms: 0 };
  const fromMs = performance.now();
  const options = {
    config: { ...asked, engine: engineKeys, parallel },
    model,
    awaitsPlans: true, // a seed has the same counts each time
    onNotice,
    ...logged(onNotice, signal),
  };
  const linked = await startLinked(options, limitsOf(link), signal);
  const startMs = performance.now() - fromMs;
  return closing(
    () => linked.close(),
    () => work({ engine: linked.engine, startMs }),
  );
}

/** What the run's log tells of ranks. */
const logged = (
  onNotice: MeasureContext['onNotice'],
  signal: AbortSignal,
): Pick<EngineOptions, 'onRankLog' | 'onLoss' | 'onRebalance'> => ({
  onRankLog: (rank, line) => {
    if (!signal.aborted) onNotice(`[rank ${rank ?? '?'}] ${line}`);
  },
  onLoss: ({ lost }) => onNotice(`ranks were lost: ${lost.map(({ error }) => error.reason).join('; ')}`),
  onRebalance: (event) => {
    if (event.kind === 'failed') onNotice(event.error.message);
  },
});
