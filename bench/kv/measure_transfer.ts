/** Keys and values that another instance computed against computing them, by length and link; and whether the cheaper is what an engine chooses. */
import { closing } from '../../lib/commands/base/closing.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import type { BlockHolder } from '../../lib/protocol/kv_loan.js';
import type { Address } from '../../comm/ws/door/dial.js';
import { median } from '../base/machine.js';
import { beginsAs, type FigureRow, type Measured } from '../base/measured.js';
import { startLinks } from '../links/links.js';
import { writeLongModel } from '../cluster/long_model.js';
import { PromptSource } from '../engine/asked.js';
import { timedAnswer, type TimedAnswer } from './timed_answer.js';
import { folderIn, type KvBench } from './kv_bench.js';

const BLOCK_SIZE = 16;
/** Of each prompt, behind what another instance has. */
const SUFFIX_TOKENS = 16;
const NUM_NEW_TOKENS = 4;
const MBIT_BYTES = 125_000;
/** Of what a link lets through. */
const LINKS_MBIT = [10_000, 1000, 100] as const;
/** Times that differ by less say the same: either choice is right. */
const PRECISION = 1.1;

/** One length over one link. */
export interface TransferTrials {
  readonly mbit: number;
  readonly tokens: number;
  readonly computedMs: readonly number[];
  readonly broughtMs: readonly number[];
  /** Of an engine that chooses: whether it brought, each time. */
  readonly chosen: readonly boolean[];
}

/** A row per link and length. */
export async function measureTransfer(bench: KvBench): Promise<Measured> {
  const model = await writeLongModel(await folderIn(bench, 'transfer'), bench.seed, bench.signal);
  const answers = { all: 0, changed: 0 };
  const trials = await withLender(bench, model, async (lender) => {
    const all: TransferTrials[] = [];
    for (const mbit of LINKS_MBIT) all.push(...(await overLink(bench, model, lender, mbit, answers)));
    return all;
  });
  return {
    formula: `time to the first token of a prompt of so many tokens, of which an instance of this machine has all blocks, and ${SUFFIX_TOKENS} more; right: choices of engine.kv_bring=auto that are the cheaper, or where both differ by less than ${Math.round(100 * (PRECISION - 1))} %`,
    baseline: 'computed: another prompt of the same length, by the same engine, in turns',
    aim: `right at least 95 %: ${Math.round(100 * rightShare(trials))} % of all choices here`,
    ...{ rows: trials.map(transferRow), answers: answers.all, changed: answers.changed },
  };
}

/** Pure. */
export function transferRow(trials: TransferTrials): FigureRow {
  const { mbit, tokens, computedMs, broughtMs, chosen } = trials;
  const [computed, brought] = [median(computedMs), median(broughtMs)];
  return {
    ...{ mbit, tokens, computed_ms: computed, brought_ms: brought, ratio: computed / brought },
    chosen_share: chosen.filter((isBrought) => isBrought).length / chosen.length,
    right_share: rightShare([trials]),
  };
}

/** Of all choices. Pure. */
export function rightShare(all: readonly TransferTrials[]): number {
  const rights = all.flatMap(({ computedMs, broughtMs, chosen }) => {
    const ratio = median(computedMs) / median(broughtMs);
    const isEqual = ratio < PRECISION && ratio > 1 / PRECISION;
    return chosen.map((isBrought) => isEqual || isBrought === ratio > 1);
  });
  return rights.filter((isRight) => isRight).length / rights.length;
}

/** An instance that computed prompts. */
interface Lender {
  readonly engine: Engine;
  readonly door: Address;
  /** By length: prompts and what it answered. */
  readonly prompts: ReadonlyMap<number, readonly { readonly ids: readonly number[]; readonly answer: TimedAnswer }[]>;
  readonly source: PromptSource;
}

async function withLender<T>(bench: KvBench, model: string, use: (lender: Lender) => Promise<T>): Promise<T> {
  const { lengths, rounds, signal } = bench;
  const numBlocks = lengths.reduce((sum, length) => sum + (rounds + 1) * blocksFor(length), 64);
  const engine = await engineOf(bench, model, [`engine.num_kv_blocks=${numBlocks}`]);
  return closing(
    () => engine.close(),
    async () => {
      const source = new PromptSource(bench.seed, engine.spec.vocabSize);
      const prompts = new Map<number, { readonly ids: readonly number[]; readonly answer: TimedAnswer }[]>();
      for (const length of lengths) {
        const made = [];
        for (let i = 0; i <= rounds; i++) {
          const ids = source.next(length + SUFFIX_TOKENS);
          made.push({ ids, answer: await ask(engine, ids, signal) });
        }
        prompts.set(length, made);
      }
      return use({ engine, door: engine.stats().loadReports[0]!.kvDoor!, prompts, source });
    },
  );
}

/** Two engines that have nothing: one brings whatever it costs, the other one chooses. */
async function overLink(
  bench: KvBench,
  model: string,
  lender: Lender,
  mbit: number,
  answers: { all: number; changed: number },
): Promise<TransferTrials[]> {
  const { lengths, rounds, signal } = bench;
  const links = startLinks(signal);
  const numBlocks = `engine.num_kv_blocks=${Math.max(...lengths.map(blocksFor)) + 64}`;
  const engines: Engine[] = [];
  return closing(
    async () => {
      await Promise.all(engines.map((engine) => engine.close()));
      await links.close();
    },
    async () => {
      const { address } = await links.ask({
        target: lender.door,
        limits: { delayMs: 0, bytesPerSecond: mbit * MBIT_BYTES },
      });
      const holder = linkedHolder(lender.engine, address);
      for (const bring of ['always', 'auto']) engines.push(await engineOf(bench, model, [numBlocks, `engine.kv_bring=${bring}`])); // prettier-ignore
      const [always, auto] = engines as [Engine, Engine];
      const bring = async (engine: Engine, length: number, i: number): Promise<TimedAnswer> => {
        const { ids, answer } = lender.prompts.get(length)![i]!;
        const told = await ask(engine, ids, signal, [holder]);
        answers.all++;
        if (!beginsAs(told.tokenIds, answer.tokenIds)) answers.changed++;
        return told;
      };
      const compute = (engine: Engine, length: number): Promise<TimedAnswer> =>
        ask(engine, lender.source.next(length + SUFFIX_TOKENS), signal);
      // Each learns what both take.
      for (const engine of engines)
        for (const length of lengths) {
          await bring(engine, length, rounds);
          await compute(engine, length);
        }
      const trials: TransferTrials[] = [];
      for (const tokens of lengths) {
        const [computedMs, broughtMs, chosen]: [number[], number[], boolean[]] = [[], [], []];
        for (let i = 0; i < rounds; i++) {
          computedMs.push((await compute(always, tokens)).ms);
          broughtMs.push((await bring(always, tokens, i)).ms);
          chosen.push((await bring(auto, tokens, i)).numCachedTokens > 0);
        }
        trials.push({ mbit, tokens, computedMs, broughtMs, chosen });
      }
      return trials;
    },
  );
}

/** An engine of this process that lends, over a link. */
const linkedHolder = (engine: Engine, place: Address): BlockHolder => ({
  match: (keys) => {
    const loan = engine.lend(keys);
    if (loan === null) return Promise.resolve(null);
    const { lease, numBlocks } = loan;
    return Promise.resolve({ lease, numBlocks, place, renew: () => loan.renew(), close: () => loan.close() });
  },
});

async function engineOf({ set, signal }: KvBench, model: string, own: readonly string[]): Promise<Engine> {
  const common = [
    `engine.block_size=${BLOCK_SIZE}`,
    'cluster.enabled=true',
    'parallel.threads=1',
    'comm.reduce=source',
  ];
  const config = await loadConfig({ flags: { model, parallel: { ranks: 1 } }, overrides: [...common, ...own, ...set] });
  return Engine.start({ config, signal });
}

const ask = (
  engine: Engine,
  promptTokenIds: readonly number[],
  signal: AbortSignal,
  holders?: readonly BlockHolder[],
): Promise<TimedAnswer> =>
  timedAnswer(engine, { promptTokenIds, maxNewTokens: NUM_NEW_TOKENS, ...(holders && { holders }) }, signal);

const blocksFor = (length: number): number => Math.ceil((length + SUFFIX_TOKENS + NUM_NEW_TOKENS) / BLOCK_SIZE) + 1;
