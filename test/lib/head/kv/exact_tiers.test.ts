/** Whatever tiers hold, lose and give back, tokens and logits are those of an engine that computes everything. Everything but sockets and processes is real. */
import { expect } from 'chai';
import fc from 'fast-check';
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KV_DTYPES, type KvDtype } from '../../../../compute/base/kv_dtype.js';
import { KV_TIERS, type KvTier } from '../../../../lib/protocol/kv_store.js';
import { expectEmptied, talkTo, type Talk, type Talked } from '../../../kit/engine/conversations.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { replicated } from '../../../kit/engine/placements.js';
import { readConformance, writeConformanceModel } from '../../../kit/model/conformance.js';
import { tinyGolden } from '../../../kit/model/goldens.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const BLOCK_SIZE = 4;
/** A conversation is as long as 14 blocks in the end. */
const TALK: Omit<Talk, 'words'> = { numConversations: 4, turns: [9, 6, 3], numNew: 13, isAtOnce: false };
/** Room for one conversation and little more: whoever comes next sends the one before into the tiers. */
const FEW_BLOCKS = 18;
const PLENTY = '64MiB';

/** Runs `act` with the folder of a model, and words for it. */
type WithModel = (act: (modelDir: string, words: readonly number[]) => Promise<void>) => Promise<void>;

const tiny =
  (name: string): WithModel =>
  (act) =>
    act(tinyModel(name), tinyGolden(name).prompt_token_ids);

const conformance =
  (family: string): WithModel =>
  (act) =>
    withTempFolder(async (dir) => {
      const { tokens, cases } = readConformance(family);
      await writeConformanceModel(
        dir,
        cases.find(({ name }) => name === 'base')!,
        new Map(),
      );
      await act(dir, tokens);
    });

const MODELS: readonly { readonly name: string; readonly use: WithModel; readonly dtypes: readonly KvDtype[] }[] = [
  { name: 'latent attention', use: tiny('tiny-deepseek-v3'), dtypes: KV_DTYPES },
  { name: 'grouped queries', use: tiny('tiny-qwen3-moe'), dtypes: KV_DTYPES },
  { name: 'states of convolutions', use: conformance('lfm2_moe'), dtypes: ['f32', 'int8'] },
  { name: 'states of delta rules', use: conformance('qwen3_next'), dtypes: ['f32'] },
];

const ram = (size: string | number): string => `{ram: ${size}}`;
const disk = (path: string, size: string | number): string => `{disk: {path: ${path}, size: ${size}}}`;

const numHitsOf = ({ stats }: Talked, tier: KvTier): number =>
  stats.tiers.find((each) => each.tier === tier)?.numHits ?? 0;

for (const { name, use, dtypes } of MODELS) {
  for (const dtype of dtypes) {
    describe(`tiers, ${name}, ${dtype}`, function () {
      this.timeout(60_000);

      const start = (modelDir: string, { set = [], ...options }: Partial<LocalEngineOptions>): Promise<LocalEngine> => {
        const own = [
          `engine.block_size=${BLOCK_SIZE}`,
          'compute=kernels',
          `engine.kv_dtype=${dtype}`,
          'engine.kv_bring=always',
        ];
        return startLocalEngine(modelDir, { numRanks: 1, ...options, set: [...own, ...set] });
      };

      const talkOnce = async (modelDir: string, talk: Talk, options: Partial<LocalEngineOptions>): Promise<Talked> => {
        const local = await start(modelDir, options);
        try {
          const talked = await talkTo(local, talk);
          expectEmptied(local);
          return talked;
        } finally {
          await local.close();
        }
      };

      /** Of talks, what an engine makes of them that computes everything. */
      const computed = new Map<string, Promise<Talked>>();
      const expectSame = async (talked: Talked, modelDir: string, talk: Talk): Promise<void> => {
        const key = JSON.stringify({ ...talk, isAtOnce: true });
        if (!computed.has(key)) computed.set(key, talkOnce(modelDir, talk, { set: ['engine.prefix_cache=off'] }));
        const expected = await computed.get(key)!;
        expect(talked.tokenIds).to.deep.equal(expected.tokenIds);
        expect(talked.bits).to.deep.equal(expected.bits);
      };

      /** `tiers`: as the configuration has them. */
      const small = (tiers: string): Partial<LocalEngineOptions> => ({
        set: [`engine.kv_tiers=[${tiers}]`, `engine.num_kv_blocks=${FEW_BLOCKS}`, 'engine.kv_bring=always'],
      });

      for (const tier of KV_TIERS) {
        it(`what went down to ${tier} comes back for the next turn, with the same bits`, () =>
          withTempFolder((path) =>
            use(async (modelDir, words) => {
              const talk = { ...TALK, words };
              const none = await talkOnce(modelDir, talk, small(''));
              await expectSame(none, modelDir, talk);
              const talked = await talkOnce(modelDir, talk, small(tier === 'ram' ? ram(PLENTY) : disk(path, PLENTY)));
              await expectSame(talked, modelDir, talk);
              expect(numHitsOf(talked, tier)).to.be.above(100);
              expect(talked.numCached).to.be.above(none.numCached + 100);
            }),
          ));
      }

      it('what lies on disk is found by the engine after it', () =>
        withTempFolder((path) =>
          use(async (modelDir, words) => {
            const talk = { ...TALK, words };
            const options = small(disk(path, PLENTY));
            const first = await start(modelDir, options);
            const before = await talkTo(first, talk);
            const { numBlocks } = diskOf(first);
            await first.close();
            const second = await start(modelDir, options);
            while (diskOf(second).numBlocks < numBlocks) await turn();
            const talked = await talkTo(second, talk);
            expectEmptied(second);
            await second.close();
            await expectSame(talked, modelDir, talk);
            expect(numHitsOf(talked, 'disk')).to.be.above(numHitsOf(before, 'disk'));
          }),
        ));

      it('no sizes, ranks, chunks, crowds, leavers, losses of ranks and damaged files change a bit', () =>
        use((modelDir, words) =>
          fc.assert(
            fc.asyncProperty(cases, (each) =>
              withTempFolder(async (path) => {
                const talk = { ...TALK, words, isAtOnce: each.isAtOnce };
                const local = (): Promise<LocalEngine> => start(modelDir, optionsOf(each, path));
                for (let life = 0; life < 2; life++) {
                  const engine = await local();
                  const beforeTurn = (turn: number): void => {
                    if (turn === each.lostBefore && life === 1) engine.fail(1);
                  };
                  const talked = await talkTo(engine, talk, { hasLeavers: each.hasLeavers, beforeTurn });
                  if (life === 1) expectEmptied(engine);
                  await engine.close();
                  await expectSame(talked, modelDir, talk);
                  if (life === 0) await damageFiles(path, each.damage);
                }
              }),
            ),
            { numRuns: 4 },
          ),
        ));
    });
  }
}

const diskOf = ({ engine }: LocalEngine) => engine.load.ranks[0]!.tiers.find(({ tier }) => tier === 'disk')!;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const DAMAGES = ['a bit', 'the end', 'the file'] as const;
type Damage = (typeof DAMAGES)[number];

/** Every second file of a disk tier. */
async function damageFiles(folder: string, damage: Damage | null): Promise<void> {
  if (damage === null) return;
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.kv')).sort();
  for (const [i, name] of files.entries()) {
    const path = join(folder, name);
    const bytes = await readFile(path);
    if (i % 2 === 1) continue;
    if (damage === 'the file') await rm(path);
    else if (damage === 'the end') await truncate(path, (7 * i) % bytes.length);
    else
      await writeFile(
        path,
        bytes.map((byte, at) => (at === (31 * i) % bytes.length ? byte ^ 16 : byte)),
      );
  }
}

/** Bytes: of no block, of some, of all. */
const sizes = fc.oneof(fc.constant(null), fc.integer({ min: 1, max: 60_000 }), fc.constant(1e8));
interface Case {
  readonly ramBytes: number | null;
  readonly diskBytes: number | null;
  readonly numKvBlocks: number;
  readonly numRanks: number;
  readonly chunk: number;
  readonly isAtOnce: boolean;
  readonly hasLeavers: boolean;
  /** The turn before which the second of two ranks dies, or none. */
  readonly lostBefore: number | null;
  /** Of files between two lives. */
  readonly damage: Damage | null;
}
const cases: fc.Arbitrary<Case> = fc.record({
  ramBytes: sizes,
  diskBytes: sizes,
  numKvBlocks: fc.integer({ min: FEW_BLOCKS, max: 60 }),
  numRanks: fc.integer({ min: 1, max: 2 }),
  chunk: fc.integer({ min: 5, max: 40 }),
  isAtOnce: fc.boolean(),
  hasLeavers: fc.boolean(),
  lostBefore: fc.constantFrom(null, 1, 2),
  damage: fc.constantFrom(null, ...DAMAGES),
});

/** Two ranks have all experts each, so that sequences are at both. */
function optionsOf(each: Case, path: string): Partial<LocalEngineOptions> {
  const tiers = [
    ...(each.ramBytes === null ? [] : [ram(each.ramBytes)]),
    ...(each.diskBytes === null ? [] : [disk(path, each.diskBytes)]),
  ];
  return {
    ...(each.lostBefore === null ? { numRanks: each.numRanks } : { numRanks: 2 }),
    placement: replicated(each.lostBefore === null ? each.numRanks : 2),
    set: [
      ...[`engine.kv_tiers=[${tiers.join(', ')}]`, `engine.num_kv_blocks=${each.numKvBlocks}`],
      ...[`engine.max_num_batched_tokens=${each.chunk}`, 'engine.max_num_seqs=4'],
    ],
  };
}
