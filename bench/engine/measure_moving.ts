/** A sequence that moves to another rank with its KV cache, against one that is computed anew there. */
import type { Engine } from '../../lib/head/engine.js';
import { median } from '../base/machine.js';
import type { PromptSource } from './asked.js';
import { medianRatio, sized, withEngine, type Bench, type FigureRow, type Measured } from './measurement.js';
import { MoveWatch } from './move_watch.js';
import { RunningStream } from './running_stream.js';

/** Tokens of prompts; a trial has the first of them. */
const LENGTHS = [64, 256, 1024, 3072];
/** Tokens of an answer before its rank is told to leave, and after the last rank that is left has it. */
const NUM_BEFORE = 32;
const NUM_AFTER = 8;

/** One that moved. */
interface Trial {
  readonly numTokens: number;
  readonly numBytes: number;
  readonly numSteps: number;
  readonly pauseMs: number;
  readonly usualMs: number;
  readonly anewMs: number;
}

/** A row per length. */
export async function measureMoving(bench: Bench): Promise<Measured> {
  const { longModel: model, rounds, signal } = bench;
  const lengths = LENGTHS.slice(0, sized(bench, LENGTHS.length));
  const trials = lengths.map((): Trial[] => []);
  const set = ['comm.on_peer_loss=recover', 'parallel.max_ranks=2'];
  await withEngine(bench, { model, ranks: 2, set }, async (engine, prompts) => {
    for (let round = 0; round < rounds; round++)
      for (const [i, length] of lengths.entries()) trials[i]!.push(await moveOne(engine, prompts, length, signal));
  });
  return {
    formula:
      'pause: from the last token that a stream has of its rank, which leaves, to the first one of the other rank, which has a stream of that length too',
    baseline:
      'anew: from asking the other rank, which has nothing else to do, for the same tokens to the next one; usual: from token to token before',
    rows: lengths.map((length, i) => rowOf(length, trials[i]!)),
  };
}

function rowOf(length: number, trials: readonly Trial[]): FigureRow {
  const all = (key: keyof Trial): number[] => trials.map((trial) => trial[key]);
  return {
    prompt_tokens: length,
    moved_tokens: median(all('numTokens')),
    moved_kib: median(all('numBytes')) / 1024,
    steps: median(all('numSteps')),
    usual_ms: median(all('usualMs')),
    pause_ms: median(all('pauseMs')),
    anew_ms: median(all('anewMs')),
    ratio: medianRatio(all('anewMs'), all('pauseMs')),
  };
}

/** Of two streams on two ranks one moves, because its rank leaves; another rank comes in the end. */
async function moveOne(engine: Engine, prompts: PromptSource, length: number, signal: AbortSignal): Promise<Trial> {
  const watch = new MoveWatch();
  const unwatch = engine.watch(watch);
  const maxNewTokens = engine.limits.maxModelLen - length;
  const streams = [0, 1].map(() => {
    const promptTokenIds = prompts.next(length);
    return { promptTokenIds, stream: new RunningStream(engine, { promptTokenIds, maxNewTokens }, signal) };
  });
  try {
    await Promise.all(streams.map(({ stream }) => stream.reaches(NUM_BEFORE)));
    await engine.scale(1, signal);
    const { sequence, numTokens, atMs } = watch.only();
    const { stream, promptTokenIds } = streams[watch.asked.indexOf(sequence)]!;
    await stream.reaches(stream.tokenIds.length + NUM_AFTER);
    await Promise.all(streams.map((each) => each.stream.end()));
    const { tokenMs, tokenIds } = stream;
    const first = tokenMs.findIndex((ms) => ms > atMs);
    const usualMs = median(gapsOf(tokenMs.slice(0, NUM_BEFORE)));
    const asked = { promptTokenIds, outputTokenIds: tokenIds.slice(0, first), maxNewTokens };
    const anewMs = await timeAnew(engine, asked, signal);
    await engine.scale(2, signal);
    const numBytes = watch.bytes.reduce((a, b) => a + b, 0);
    const pauseMs = tokenMs[first]! - tokenMs[first - 1]!;
    return { numTokens, numBytes, numSteps: watch.bytes.length, pauseMs, usualMs, anewMs };
  } finally {
    unwatch();
    await Promise.all(streams.map(({ stream }) => stream.end()));
  }
}

/** Until the next token of an answer of which nothing is in a cache. */
async function timeAnew(engine: Engine, asked: ConstructorParameters<typeof RunningStream>[1], signal: AbortSignal) {
  engine.resetPrefixCache();
  const stream = new RunningStream(engine, asked, signal);
  await stream.reaches(1);
  await stream.end();
  return stream.tokenMs[0]! - stream.startMs;
}

const gapsOf = (times: readonly number[]): number[] => times.slice(1).map((ms, i) => ms - times[i]!);
