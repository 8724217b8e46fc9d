/** An engine for a run: started, told of in the run's log, and ended whatever happens. */
import { closing } from '../../../lib/commands/base/closing.js';
import type { ExpertwireConfig } from '../../../lib/config/schema.js';
import { Engine } from '../../../lib/head/engine.js';
import type { OpenedModel } from '../../../lib/head/opened_model.js';
import type { MeasureContext } from './measure.js';

/** An engine and how long it took to start. */
export interface StartedEngine {
  readonly engine: Engine;
  readonly startMs: number;
}

/** Runs `work` with an engine that takes so many requests at once. */
export async function withStartedEngine<T>(
  given: { readonly config: ExpertwireConfig; readonly model: OpenedModel; readonly numRequests: number },
  { onNotice, signal }: MeasureContext,
  work: (started: StartedEngine) => Promise<T>,
): Promise<T> {
  const { config: asked, model, numRequests } = given;
  const engineKeys = { ...asked.engine, max_num_waiting: Math.max(asked.engine.max_num_waiting, numRequests) };
  // Only a server has a use for ranks that outlive it.
  const parallel = { ...asked.parallel, head_grace_ms: 0 };
  const fromMs = performance.now();
  const engine = await Engine.start({
    config: { ...asked, engine: engineKeys, parallel },
    model,
    signal,
    onNotice,
    onRankLog: (rank, line) => {
      if (!signal.aborted) onNotice(`[rank ${rank ?? '?'}] ${line}`);
    },
    onLoss: ({ lost }) => onNotice(`ranks were lost: ${lost.map(({ error }) => error.reason).join('; ')}`),
    onRebalance: (event) => {
      if (event.kind === 'failed') onNotice(event.error.message);
    },
  });
  const startMs = performance.now() - fromMs;
  return closing(
    () => engine.close(),
    () => work({ engine, startMs }),
  );
}
