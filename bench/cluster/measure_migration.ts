/** A request that moves to another instance while it is answered, in stages, against one that stops, is copied and goes on. */
import * as z from 'zod';
import { gapsOf, longestGap, type Span } from '../chaos/load/gaps.js';
import { BenchError } from '../base/errors.js';
import { median } from '../base/machine.js';
import { FollowedAnswer } from './followed_answer.js';
import { LONG_KEYS } from './long_model.js';
import { beginsAs, type FigureRow, type Measured } from '../base/measured.js';
import type { ClusterBench } from './measurement.js';
import { promptOf } from './prompts.js';
import { withCluster } from './started_cluster.js';

/** How a request moves, and the keys that say so. */
const WAYS = { stopped: ['cluster.max_stages=1'], live: [] } as const;
type Way = keyof typeof WAYS;

/** Tokens of an answer before its first move, and between two moves. */
const NUM_BEFORE = 32;
const NUM_BETWEEN = 24;
/** More than moves of all rounds take. */
const MAX_NEW_TOKENS = 1024;
/** No move takes so long. */
const MOVE_TIMEOUT_MS = 60_000;

/** One move. */
export interface MoveTrial {
  readonly stepMs: number;
  readonly downMs: number;
  /** From asking for it until it was over. */
  readonly tookMs: number;
}

type Trials = Readonly<Record<Way, readonly MoveTrial[]>>;

/** A row per length. */
export async function measureMigration(bench: ClusterBench): Promise<Measured> {
  const { longModel: model, moveTokens } = bench;
  const shape = { model, instances: 2, policy: 'round_robin' };
  const stopped = { ...shape, name: 'stopped', set: [...LONG_KEYS, ...WAYS.stopped] };
  const live = { ...shape, name: 'live', set: [...LONG_KEYS, ...WAYS.live] };
  let changed = 0;
  const rows: FigureRow[] = [];
  await withCluster(bench, stopped, (stoppedUrl) =>
    withCluster(bench, live, async (liveUrl) => {
      for (const numTokens of moveTokens) {
        const answers = {
          stopped: await movedAnswer(stoppedUrl, numTokens, bench),
          live: await movedAnswer(liveUrl, numTokens, bench),
        };
        const unmoved = await quietAnswer(liveUrl, numTokens, answers.live.tokenIds.length, bench);
        changed += Object.values(answers).filter(({ tokenIds }) => !beginsAs(tokenIds, unmoved)).length;
        rows.push(migrationRow(numTokens, { stopped: answers.stopped.trials, live: answers.live.trials }));
      }
    }),
  );
  return {
    formula:
      'step: median time from token to token while nothing moves; down: longest time between two tokens of a move − step, as the client of the router sees it; steps: down / step',
    baseline: 'stopped: the same with cluster.max_stages=1: the request pauses, all is copied, it goes on',
    aim: 'at most 2 steps, whatever the length',
    rows,
    answers: 2 * moveTokens.length,
    changed,
  };
}

/** Medians of each way. Pure. */
export function migrationRow(numTokens: number, { stopped, live }: Trials): FigureRow {
  const of = (trials: readonly MoveTrial[], figure: (trial: MoveTrial) => number): number => median(trials.map(figure));
  const down = ({ downMs }: MoveTrial): number => downMs;
  const steps = ({ downMs, stepMs }: MoveTrial): number => downMs / stepMs;
  return {
    tokens: numTokens,
    step_ms: of(live, ({ stepMs }) => stepMs),
    stopped_ms: of(stopped, down),
    stopped_steps: of(stopped, steps),
    live_ms: of(live, down),
    live_steps: of(live, steps),
    most_live_steps: Math.max(...live.map(steps)),
    move_ms: of(live, ({ tookMs }) => tookMs),
    ratio: of(stopped, down) / of(live, down),
  };
}

/** What moves were, by the times of an answer's tokens: quiet is what none of them reaches into. Pure. */
export function moveTrials(atMs: readonly number[], moves: readonly Span[]): MoveTrial[] {
  const gaps = gapsOf(atMs);
  const isQuiet = (gap: Span): boolean => moves.every(({ fromMs, toMs }) => gap.toMs < fromMs || gap.fromMs > toMs);
  const [, ...quiet] = gaps.filter(isQuiet).map(({ fromMs, toMs }) => toMs - fromMs);
  const stepMs = median(quiet);
  return moves.map((move) => ({
    ...{ stepMs, tookMs: move.toMs - move.fromMs },
    downMs: Math.max(0, longestGap(gaps, move)! - stepMs),
  }));
}

interface MovedAnswer {
  readonly tokenIds: readonly number[];
  readonly trials: readonly MoveTrial[];
}

/** To and fro, once per round. */
async function movedAnswer(
  url: string,
  numTokens: number,
  { seed, rounds, signal }: ClusterBench,
): Promise<MovedAnswer> {
  const id = `moves-${numTokens}`;
  const answer = asked(url, id, numTokens, seed, signal);
  const moves: Span[] = [];
  try {
    await answer.reaches(NUM_BEFORE);
    for (let round = 0; round < rounds; round++) {
      const fromMs = performance.now();
      await post(`${url}/migrate`, { request_id: id, to: await otherInstance(url, signal) }, signal);
      moves.push({ fromMs, toMs: performance.now() });
      await answer.reaches(answer.tokenIds.length + NUM_BETWEEN);
    }
  } finally {
    await answer.end();
  }
  return { tokenIds: answer.tokenIds, trials: moveTrials(answer.atMs, moves) };
}

async function quietAnswer(
  url: string,
  numTokens: number,
  numNewTokens: number,
  { seed, signal }: ClusterBench,
): Promise<readonly number[]> {
  const answer = asked(url, `stays-${numTokens}`, numTokens, seed, signal);
  try {
    await answer.reaches(numNewTokens);
  } finally {
    await answer.end();
  }
  return answer.tokenIds;
}

/** When it has moved first, its prompt and what came by then are so many tokens. */
function asked(url: string, id: string, numTokens: number, seed: number, signal: AbortSignal): FollowedAnswer {
  const promptTokenIds = promptOf(seed, numTokens, Math.max(1, numTokens - NUM_BEFORE));
  return new FollowedAnswer(url, { id, promptTokenIds, maxNewTokens: MAX_NEW_TOKENS }, signal);
}

const INSTANCES = z.looseObject({ instances: z.array(z.looseObject({ id: z.string(), requests: z.number() })) });

/** The one that has nothing to do. @throws BenchError NOT_UNDERSTOOD */
async function otherInstance(url: string, signal: AbortSignal): Promise<string> {
  const answer = await fetch(`${url}/instances`, { signal });
  const told = INSTANCES.safeParse(await answer.json()).data?.instances;
  const idle = told?.find(({ requests }) => requests === 0);
  if (idle !== undefined) return idle.id;
  throw new BenchError('NOT_UNDERSTOOD', `${url}/instances tells of none that is idle: ${JSON.stringify(told)}`);
}

/** @throws BenchError NOT_MOVED: what the router said */
async function post(url: string, body: object, signal: AbortSignal): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const late = AbortSignal.any([signal, AbortSignal.timeout(MOVE_TIMEOUT_MS)]);
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal: late });
  const text = await answer.text();
  if (!answer.ok) throw new BenchError('NOT_MOVED', `${url}: ${answer.status} ${text}`);
}
