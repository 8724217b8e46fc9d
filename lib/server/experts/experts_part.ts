/** Endpoints about experts, for who operates the server: which work, where they are, moving them, recording them. */
import { shortCounts } from '../../../experts/placement/expert_counts.js';
import type { FastifyReply } from 'fastify';
import * as z from 'zod';
import { placementToJson } from '../../../experts/placement/placement_json.js';
import type { AskedRebalance } from '../../head/rebalancing/rebalance_stats.js';
import { shown } from '../../../base/foreign_text.js';
import { EngineError } from '../../protocol/errors.js';
import { ApiError } from '../base/api_error.js';
import type { ServerApp, ServerContext, ServerPart } from '../base/part.js';
import type { ServedEngine } from '../base/served_engine.js';
import { clientSignal } from '../http/client_signal.js';
import { number } from '../base/plain_fields.js';
import { ExpertRecorder, SERVED_MODES, type RecorderStatus } from './expert_recorder.js';
import { checkRecordingFolder, writeRecording } from './recording_folder.js';

/** Who has a key; without any, clients of this machine. */
const config = { access: 'local' } as const;

/** How long `POST /experts/rebalance` waits for experts to move. */
const DEFAULT_WAIT_S = 30;
/** The same where nothing runs: a plan is made, and found to change nothing, but experts move beside steps alone. */
const IDLE_WAIT_S = 1;
const MAX_WAIT_S = 600;

/** GET /experts/load and /experts/placement, POST /experts/rebalance and /experts/record/start, stop, dump. */
export const expertsPart: ServerPart = async (app, context) => {
  const { engine } = context;
  await checkRecordingFolder(context.config.server);
  app.get('/experts/load', { config }, () => loadOf(context));
  app.get('/experts/placement', { config }, () => {
    const { placement } = engine;
    const { version, numExperts, slotsPerRank: slots_per_rank } = placement;
    const num_experts = shortCounts(numExperts);
    const { lostRanks: lost_ranks, rankStates: rank_states } = engine.stats();
    return { version, ...placementToJson(placement), num_experts, slots_per_rank, lost_ranks, rank_states };
  });
  const body = z.object({ wait_s: number(0, MAX_WAIT_S) }).nullish();
  app.post('/experts/rebalance', { config, schema: { body } }, (request, reply) =>
    rebalance(context, request.body?.wait_s ?? (isIdle(engine) ? IDLE_WAIT_S : DEFAULT_WAIT_S), reply),
  );
  addRecorder(app, context);
};

const isIdle = ({ load }: ServedEngine): boolean =>
  load.numWaiting === 0 && load.ranks.every(({ numRunning }) => numRunning === 0);

const MODE_ERROR = `give ${SERVED_MODES.map((mode) => shown(mode)).join(' or ')}; the experts of each token are recorded by serve --record FILE --record-mode per_token`;

/** SGLang's names beside our own. */
function addRecorder(app: ServerApp, { engine, config: settings, log }: ServerContext): void {
  const { record_dir: folder } = settings.server;
  const recorder = new ExpertRecorder(engine, settings);
  app.addHook('onClose', () => recorder.close());
  const body = z.object({ mode: z.enum(SERVED_MODES, { error: MODE_ERROR }).nullish() }).nullish();
  for (const url of ['/experts/record/start', '/start_expert_distribution_record']) {
    app.post(url, { config, schema: { body } }, (request) => {
      recorder.start(request.body?.mode ?? 'stat');
      return statusJson(recorder.status);
    });
  }
  for (const url of ['/experts/record/stop', '/stop_expert_distribution_record']) {
    app.post(url, { config }, async () => {
      await recorder.stop();
      return statusJson(recorder.status);
    });
  }
  for (const url of ['/experts/record/dump', '/dump_expert_distribution_record']) {
    app.post(url, { config }, async (_request, reply) => {
      return recorder.dump(async (bytes) => {
        if (folder === null) return sendFile(bytes, reply);
        const file = await writeRecording(folder, bytes);
        log.info({ file, bytes: bytes.length }, 'a recording was written');
        return { file, num_bytes: bytes.length };
      });
    });
  }
  app.get('/experts/record', { config }, () => statusJson(recorder.status));
}

function sendFile(bytes: Buffer, reply: FastifyReply): FastifyReply {
  const headers = { 'content-disposition': 'attachment; filename="recording.jsonl.gz"' };
  return reply.type('application/gzip').headers(headers).send(bytes);
}

function loadOf({ engine, modelName }: ServerContext): object {
  const stats = engine.stats();
  const rows = (table: readonly Float64Array[]): number[][] => table.map((row) => Array.from(row));
  return {
    ...{ model: modelName, num_ranks: stats.numRanks, lost_ranks: stats.lostRanks, num_steps: stats.numSteps },
    rank_states: stats.rankStates,
    placement_version: engine.placement.version,
    load: rows(stats.expertLoad), // [L][E], since the start
    window_load: rows(stats.windowLoad), // [L][E], of the last load_balance.window_size steps
    rank_load: rows(stats.rankLoad), // [L][R], since ranks came or went last
    balancedness: stats.balancedness, // [L]
  };
}

async function rebalance({ engine, draining }: ServerContext, waitS: number, reply: FastifyReply): Promise<object> {
  if (engine.rebalance === undefined) throw new ApiError('UNSUPPORTED', 'this engine moves no experts; use another');
  let timer: NodeJS.Timeout | undefined;
  const leaving = clientSignal(reply, draining); // steps, which experts move beside, may never come
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), 1000 * waitS);
    leaving.addEventListener('abort', () => resolve(null), { once: true });
  });
  try {
    const outcome = engine.rebalance();
    outcome.catch(() => undefined); // where it is late
    const first = await Promise.race([outcome, late]);
    if (first !== null) return outcomeJson(first);
    return await reply
      .code(202)
      .send({ status: 'pending', reason: 'experts move beside steps, and go on as steps run' });
  } catch (error) {
    // What a body can't be blamed for.
    if (error instanceof EngineError && error.code === 'INVALID_REQUEST') throw new ApiError('CONFLICT', error.text);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function outcomeJson(outcome: AskedRebalance): object {
  if (outcome.kind === 'unchanged') return { status: 'unchanged', balancedness: outcome.predicted };
  const { version, step, numMovedExperts, movedBytes, numSteps, planMs, predicted } = outcome;
  return {
    ...{ status: 'done', placement_version: version, step, num_moved_experts: numMovedExperts },
    ...{ moved_bytes: movedBytes, num_steps: numSteps, plan_ms: planMs, balancedness: predicted },
  };
}

const statusJson = ({ state, mode, numSteps, numBytes, endedBecause }: RecorderStatus): object => ({
  ...{ state, mode, num_steps: numSteps, num_bytes: numBytes, ended_because: endedBecause },
});
