/** Conversations whose blocks leave the cache of their rank and come back from its tiers. Everything but sockets and processes is real: files too. */
import { expect } from 'chai';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { EngineStats } from '../../../../lib/head/engine.js';
import type { KvTier } from '../../../../lib/protocol/kv_store.js';
import type { TierCounts } from '../../../../lib/protocol/kv_use.js';
import {
  startLocalEngine,
  type LocalEngine,
  type LocalEngineOptions,
  type Moment,
} from '../../../kit/engine/local_engine.js';
import { replicated } from '../../../kit/engine/placements.js';
import { watchLogits } from '../../../kit/engine/watched_logits.js';
import { readConformance, writeConformanceModel } from '../../../kit/model/conformance.js';
import { tinyGolden } from '../../../kit/model/goldens.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const NUM_NEW = 9;
const TURNS = [9, 6, 3];
const NUM_CONVERSATIONS = 4;

/** A model, and what is said of it. */
interface Spoken {
  readonly dir: string;
  readonly said: readonly number[];
  readonly options: Partial<LocalEngineOptions>;
}

interface Outcome {
  /** [conversation][turn] */
  readonly tokenIds: readonly (readonly (readonly number[])[])[];
  /** Of all rows that were asked for, in any order. */
  readonly bits: readonly string[];
  readonly stats: EngineStats;
}

async function answer({ engine }: LocalEngine, promptTokenIds: readonly number[]): Promise<number[]> {
  const tokenIds: number[] = [];
  for await (const event of engine.generate({ promptTokenIds, maxNewTokens: NUM_NEW, ignoreEos: true })) {
    if (event.kind === 'token') tokenIds.push(event.tokenId);
  }
  return tokenIds;
}

/** All conversations say their first word, then all their second: between two turns of one there are those of the others. */
async function converse(local: LocalEngine, said: readonly number[], isCrowd: boolean): Promise<number[][][]> {
  const prompts = Array.from({ length: NUM_CONVERSATIONS }, (): number[] => []);
  const answers = prompts.map((): number[][] => []);
  for (const [at, numSaid] of TURNS.entries()) {
    const say = async (prompt: number[], i: number): Promise<void> => {
      prompt.push(...said.slice(2 * i + at, 2 * i + at + numSaid));
      const tokenIds = await answer(local, [...prompt]);
      prompt.push(...tokenIds);
      answers[i]!.push(tokenIds);
    };
    if (isCrowd) await Promise.all(prompts.map(say));
    else for (const [i, prompt] of prompts.entries()) await say(prompt, i);
  }
  return answers;
}

/** Of a whole life of an engine. */
interface Life {
  readonly set: readonly string[];
  /** All say their turns at once. Default false. */
  readonly isCrowd?: boolean;
  /** It begins when so many blocks of an earlier life are found. Default 0. */
  readonly numFound?: number;
  /** Everything is forgotten in the end, in this folder too. Default: it stays. */
  readonly cleared?: string | null;
  readonly more?: Partial<LocalEngineOptions>;
}

const numInTiers = ({ engine }: LocalEngine): number =>
  engine.load.ranks.flatMap(({ tiers }) => tiers).reduce((sum, { numBlocks }) => sum + numBlocks, 0);

const blockFilesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.kv'))
    .map((name) => join(folder, name));

async function outcomeOf({ dir, said, options }: Spoken, life: Life): Promise<Outcome> {
  const { isCrowd = false, numFound = 0, cleared } = life;
  const own = ['engine.block_size=4', 'engine.max_num_batched_tokens=11', 'engine.max_num_seqs=4'];
  const set = [...own, ...(options.set ?? []), ...life.set];
  const local = await startLocalEngine(dir, { numRanks: 1, reduce: 'source', ...options, ...life.more, set });
  try {
    while (numInTiers(local) < numFound) await turn();
    const watched = watchLogits(local);
    const tokenIds = await converse(local, said, isCrowd);
    const bits = [...new Set([...watched.values()].map((row) => row.toString('base64')))].sort();
    for (const { numUsedBlocks, tiers } of local.engine.load.ranks) {
      expect(numUsedBlocks).to.equal(0);
      for (const { numBytes, maxBytes } of tiers) expect(numBytes).to.be.at.most(maxBytes);
    }
    if (cleared !== undefined) {
      expect(local.engine.resetPrefixCache()).to.equal(true);
      expect(numInTiers(local)).to.equal(0);
    }
    while (cleared && blockFilesIn(cleared).length > 0) await turn();
    return { tokenIds, bits, stats: local.engine.stats() };
  } finally {
    await local.close();
  }
}

const countsOf = ({ stats }: Outcome, tier: KvTier): TierCounts => stats.tiers.find((each) => each.tier === tier)!;

const FEW = 'engine.num_kv_blocks=14';
const diskIn = (folder: string): string => `{disk: {path: ${folder}, size: 1MiB}}`;

const TINY = [
  ['tiny-deepseek-v3', { mla: 'absorbed' }],
  ['tiny-deepseek-v3', { mla: 'auto', set: ['engine.kv_dtype=int8'] }],
  ['tiny-qwen3-moe', { numMemories: 2 }],
  ['tiny-qwen3-moe', { set: ['compute=tensors'] }],
] as const;
const FAMILIES = ['lfm2_moe', 'qwen3_next'] as const;

/** Of each kind of cache. */
const SPOKEN = [
  ...TINY.map(([name, options]) => ({
    name: `${name}, ${JSON.stringify(options)}`,
    with: (use: (spoken: Spoken) => Promise<void>) =>
      use({ dir: tinyModel(name), said: tinyGolden(name).prompt_token_ids, options }),
  })),
  ...FAMILIES.map((family) => ({
    name: `${family}, with states`,
    with: (use: (spoken: Spoken) => Promise<void>) =>
      withTempFolder(async (dir) => {
        const { tokens, cases } = readConformance(family);
        await writeConformanceModel(
          dir,
          cases.find(({ name }) => name === 'base')!,
          new Map(),
        );
        await use({ dir, said: tokens, options: { set: ['compute=kernels', 'engine.kept_states=6'] } });
      }),
  })),
];

describe('tiers of a rank', function () {
  this.timeout(120_000);

  for (const spoken of SPOKEN) {
    it(`change no bit, roomy and full, and turns find what the cache had no room for: ${spoken.name}`, () =>
      spoken.with((model) =>
        withTempFolder(async (folder) => {
          const none = await outcomeOf(model, { set: ['engine.prefix_cache=off'] });
          const ram = await outcomeOf(model, { set: [FEW, 'engine.kv_tiers=[{ram: 1MiB}]'], cleared: null });
          const disk = await outcomeOf(model, { set: [FEW, `engine.kv_tiers=[${diskIn(folder)}]`] });
          const numFound = blockFilesIn(folder).length;
          const { storedBytes, numStored } = countsOf(ram, 'ram');
          const few = `engine.kv_tiers=[{ram: ${Math.ceil((5 * storedBytes) / numStored)}}, ${diskIn(folder)}]`;
          const full = await outcomeOf(model, { set: [FEW, few], isCrowd: true, numFound, cleared: folder });
          for (const outcome of [ram, disk, full]) {
            expect(outcome.tokenIds).to.deep.equal(none.tokenIds);
            expect(outcome.bits).to.deep.equal(none.bits);
            for (const { numLost } of outcome.stats.tiers) expect(numLost).to.equal(0);
          }
          const { numHits } = countsOf(ram, 'ram');
          expect(numHits).to.be.above(0);
          expect(countsOf(disk, 'disk')).to.include({ numHits });
          expect(countsOf(full, 'disk').numHits, 'of its earlier life too').to.be.above(numHits);
          expect(countsOf(full, 'ram').numStored).to.be.above(0);
          expect(numFound, 'each is written once').to.equal(countsOf(disk, 'disk').numStored);
        }),
      ));
  }

  const [, , gqa] = SPOKEN;
  it('files that were cut or changed are computed anew, with the same bits', () =>
    gqa!.with((model) =>
      withTempFolder(async (folder) => {
        const set = [FEW, `engine.kv_tiers=[${diskIn(folder)}]`];
        const first = await outcomeOf(model, { set });
        const files = blockFilesIn(folder);
        for (const [i, path] of files.entries()) {
          const bytes = readFileSync(path);
          if (i % 2 === 0) bytes[Math.floor((bytes.length * i) / files.length)]! ^= 1;
          writeFileSync(path, i % 4 === 1 ? bytes.subarray(0, bytes.length - 1) : bytes);
        }
        const again = await outcomeOf(model, { set, numFound: 1 });
        expect(again.tokenIds).to.deep.equal(first.tokenIds);
        expect(again.bits).to.deep.equal(first.bits);
        expect(countsOf(again, 'disk').numLost).to.be.above(0);
      }),
    ));

  const moments: readonly Moment[] = [
    { kind: 'message', message: 'lifted', nth: 2 },
    { kind: 'after_step', step: 30 },
  ];
  for (const moment of moments) {
    it(`a rank that is lost (${moment.kind}) takes its tiers along, and its sequences are computed anew with the same bits`, () =>
      gqa!.with(async (model) => {
        const none = await outcomeOf(model, { set: ['engine.prefix_cache=off'] });
        const more: Partial<LocalEngineOptions> = {
          ...{ numRanks: 2, placement: replicated(2), onPeerLoss: 'mask' },
          faults: [{ rank: 1, at: moment }],
        };
        const set = ['engine.num_kv_blocks=12', 'engine.kv_tiers=[{ram: 1MiB}]'];
        const cut = await outcomeOf(model, { set, more, isCrowd: true, cleared: null });
        expect(cut.tokenIds).to.deep.equal(none.tokenIds);
        expect(cut.stats.lostRanks).to.deep.equal([1]);
        expect(countsOf(cut, 'ram').numLoaded).to.be.above(0);
      }));
  }
});
