/** More or fewer ranks while the server runs, under vLLM's names (vllm/entrypoints/serve/elastic_ep). */
import * as z from 'zod';
import { MAX_RANKS } from '../../../base/ids.js';
import type { Scaled } from '../../head/elastic/scale_events.js';
import { EngineError } from '../../protocol/errors.js';
import { ApiError } from '../base/api_error.js';
import type { ServerContext, ServerPart } from '../base/part.js';
import { integer } from '../base/plain_fields.js';
import { DEFAULT_DRAIN_TIMEOUT_S, MAX_DRAIN_TIMEOUT_S } from './scale_limits.js';

/** Who has a key; without any, clients of this machine. */
const config = { access: 'local' } as const;

const SIZE = `give a whole number from 1 to ${MAX_RANKS}`;
const body = z.object(
  {
    new_data_parallel_size: z.int({ error: SIZE }).min(1, { error: SIZE }).max(MAX_RANKS, { error: SIZE }),
    drain_timeout: integer(1, MAX_DRAIN_TIMEOUT_S),
  },
  { error: 'give a JSON object' },
);

/** POST /scale_elastic_ep; GET, and POST as in vLLM, /is_scaling_elastic_ep. */
export const elasticPart: ServerPart = (app, context) => {
  const { engine } = context;
  app.post('/scale_elastic_ep', { config, schema: { body } }, async ({ body: asked }) => {
    const { new_data_parallel_size: numRanks, drain_timeout: drainTimeoutS } = asked;
    return scaledJson(await scale(context, numRanks, drainTimeoutS ?? DEFAULT_DRAIN_TIMEOUT_S));
  });
  const isScaling = (): object => ({ is_scaling_elastic_ep: engine.isScaling ?? false });
  app.get('/is_scaling_elastic_ep', { config }, isScaling);
  app.post('/is_scaling_elastic_ep', { config }, isScaling);
};

/** A client that goes away changes nothing: somebody wanted so many ranks. */
async function scale({ engine, draining }: ServerContext, numRanks: number, timeoutS: number): Promise<Scaled> {
  if (engine.scale === undefined) throw new ApiError('UNSUPPORTED', 'the ranks of this engine are always the same');
  if (engine.isScaling === true) {
    throw new ApiError('CONFLICT', 'the job is being scaled already; GET /is_scaling_elastic_ep says when it is over');
  }
  const late = AbortSignal.timeout(1000 * timeoutS);
  try {
    return await engine.scale(numRanks, AbortSignal.any([late, draining]));
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    const { code, text } = error;
    if (code === 'INVALID_REQUEST') throw new ApiError('INVALID_VALUE', text, { param: 'new_data_parallel_size' });
    if (code !== 'SCALE_FAILED') throw error;
    if (draining.aborted) throw new ApiError('DRAINING', `the server ends: ${text}`);
    const after = late.aborted ? ` within drain_timeout, ${timeoutS} s` : '';
    throw new ApiError(late.aborted ? 'REQUEST_TIMEOUT' : 'SCALE_FAILED', `not scaled${after}: ${text}`, {
      cause: error,
    });
  }
}

function scaledJson(scaled: Scaled): object {
  const { before, after, joined, left, numMovedExperts, numMovedSequences, numRecomputed, ms, firstMs } = scaled;
  return {
    message: `Scaled to ${after} data parallel engines`,
    ...{ ranks_before: before, ranks: after, joined, left, moved_experts: numMovedExperts },
    ...{ moved_sequences: numMovedSequences, recomputed: numRecomputed, ms, first_ms: firstMs },
  };
}
