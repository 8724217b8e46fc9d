/** A prompt whose keys and values lie on disk, against one that is computed: from which length on that pays. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { closing } from '../../lib/commands/base/closing.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import { storedFolders } from '../../lib/rank/store/stored_folders.js';
import { BenchError } from '../base/errors.js';
import { median } from '../base/machine.js';
import { beginsAs, type FigureRow, type Measured } from '../base/measured.js';
import { writeLongModel } from '../cluster/long_model.js';
import { PromptSource } from '../engine/asked.js';
import { follow } from '../engine/followed.js';
import { folderIn, type KvBench } from './kv_bench.js';
import { timedAnswer, type TimedAnswer } from './timed_answer.js';

const BLOCK_SIZE = 16;
/** Of each prompt, behind what is stored. */
const SUFFIX_TOKENS = 16;
const NUM_NEW_TOKENS = 4;
const WARM_UP_TOKENS = 200;
/** The warm-up wants some. */
const MIN_BLOCKS = 16;
/** Between two looks at what was written. */
const POLL_MS = 5;

/** Of one length: times to the first token, and whether tokens were those that were computed. */
export interface DiskTrials {
  readonly computedMs: readonly number[];
  readonly diskMs: readonly number[];
  readonly numChanged: number;
}

/** A row per length. */
export async function measureDisk(bench: KvBench): Promise<Measured> {
  const model = await writeLongModel(await folderIn(bench, 'disk'), bench.seed, bench.signal);
  const rows: FigureRow[] = [];
  let [numChanged, numAnswers] = [0, 0];
  for (const numTokens of bench.lengths) {
    const trials = await trialsOf(bench, model, numTokens);
    numChanged += trials.numChanged;
    numAnswers += trials.diskMs.length;
    rows.push(diskRow(numTokens, trials));
  }
  return {
    formula: `time to the first token of a prompt of so many tokens and ${SUFFIX_TOKENS} more, which it computes in any case; the files were written, and are read from the cache of the operating system or from disk, as it likes; ${paysFrom(rows)}`,
    baseline: 'computed: the same prompt the first time, by the same engine',
    aim: 'disk is quicker from some length on, and engine.kv_bring=auto finds it',
    ...{ rows, changed: numChanged, answers: numAnswers },
  };
}

/** Pure. */
export const diskRow = (numTokens: number, { computedMs, diskMs }: DiskTrials): FigureRow => ({
  tokens: numTokens,
  computed_ms: median(computedMs),
  disk_ms: median(diskMs),
  ratio: median(computedMs) / median(diskMs),
});

/** The first length from which on it is always quicker. Pure. */
export function paysFrom(rows: readonly FigureRow[]): string {
  const last = rows.findLastIndex(({ ratio }) => Number(ratio) <= 1);
  const first = rows[last + 1];
  return first === undefined ? 'here it pays at no length' : `here it pays from ${first.tokens} tokens on`;
}

/** Prompts in turns, in a cache with room for fewer: each was sent down when its turn comes again. */
async function trialsOf(bench: KvBench, model: string, numTokens: number): Promise<DiskTrials> {
  const { signal, seed, rounds, set, folder } = bench;
  const path = join(folder, `tier-${numTokens}`);
  const numFull = Math.floor((numTokens + SUFFIX_TOKENS) / BLOCK_SIZE);
  const numBlocks = Math.max(numFull + 2, MIN_BLOCKS);
  const overrides = [
    ...[`engine.block_size=${BLOCK_SIZE}`, `engine.num_kv_blocks=${numBlocks}`, 'parallel.threads=1'],
    ...['engine.kv_bring=always', `engine.kv_tiers=${JSON.stringify([{ disk: { path, size: '8GiB' } }])}`],
    ...['comm.reduce=source', ...set],
  ];
  const config = await loadConfig({ flags: { model, parallel: { ranks: 1 } }, overrides });
  const engine = await Engine.start({ config, signal });
  return closing(
    () => engine.close(),
    async () => {
      const source = new PromptSource(seed, engine.spec.vocabSize);
      await follow(engine, { promptTokenIds: source.next(32), maxNewTokens: WARM_UP_TOKENS }, signal);
      const numPrompts = Math.max(rounds, Math.ceil(numBlocks / numFull) + 1);
      const prompts = Array.from({ length: numPrompts }, () => source.next(numTokens + SUFFIX_TOKENS));
      const ask = (promptTokenIds: readonly number[]): Promise<TimedAnswer> =>
        timedAnswer(engine, { promptTokenIds, maxNewTokens: NUM_NEW_TOKENS }, signal);
      const computed = await inTurn(prompts, ask);
      await written(engine, path, signal);
      const lifted = await inTurn(prompts, ask);
      const short = lifted.find(({ numCachedTokens }) => numCachedTokens < numTokens);
      if (short !== undefined) {
        const text = `a prompt of ${numTokens} tokens found ${short.numCachedTokens} of them on disk; look at what its rank says`;
        throw new BenchError('NOT_UNDERSTOOD', text);
      }
      return {
        computedMs: computed.map(({ ms }) => ms),
        diskMs: lifted.map(({ ms }) => ms),
        numChanged: computed.filter(({ tokenIds }, i) => !beginsAs(lifted[i]!.tokenIds, tokenIds)).length,
      };
    },
  );
}

async function inTurn<A, B>(all: readonly A[], each: (one: A) => Promise<B>): Promise<B[]> {
  const results: B[] = [];
  for (const one of all) results.push(await each(one));
  return results;
}

/** What went down is in files. */
async function written(engine: Engine, path: string, signal: AbortSignal): Promise<void> {
  const numTold = (): number => engine.load.ranks[0]!.tiers.reduce((sum, { numBlocks }) => sum + numBlocks, 0);
  const numWritten = async (): Promise<number> =>
    (await storedFolders(path)).reduce((sum, { numBlocks }) => sum + numBlocks, 0);
  while ((await numWritten()) < numTold()) await sleep(POLL_MS, undefined, { signal });
}
