/** The trained model on real rank processes: the same numbers whatever the ranks, the placement and the batch. */
import { expect } from 'chai';
import { createHash } from 'node:crypto';
import type { ReplicaChoice } from '../../experts/placement/replica_choice.js';
import type { Engine } from '../../lib/head/engine.js';
import type { EngineStats } from '../../lib/head/engine.js';
import { generateIds, scoreIds, startEngine, type EngineSetup, type Scored } from '../kit/engine/engines.js';
import { moe7mCases } from '../kit/model/goldens.js';
import { moe7m } from '../kit/paths.js';
import { Processes } from '../kit/processes/processes.js';
import { holderOf, tensorBytesByRank, trafficOf, type Strategy } from '../refs/rank_bytes.js';

const CASES = moe7mCases();
const PROMPTS = CASES.map((golden) => golden.prompt_token_ids);
const NUM_EXPERTS = 32;
const VOCAB_SIZE = 2048;
const SAMPLING = { temperature: 0.8, topP: 0.95, seed: 7 };
/** The prompt that also runs without company, in the jobs of up to 3 ranks. */
const ALONE = 4;

const processes = new Processes();

interface Run extends EngineSetup {
  readonly placement: Strategy;
  readonly numRedundant: number;
  readonly name: string;
}

const run = (
  ranks: number,
  placement: Strategy,
  reduce: 'rank' | 'source',
  set: readonly string[] = [],
  numRedundant = 0,
): Run => ({
  model: moe7m(),
  ranks,
  placement,
  numRedundant,
  reduce,
  set,
  name: [`${ranks} ranks`, placement, `reduce ${reduce}`, ...set].join(', '),
});

/** Prompts of 15 tokens and more come in several chunks. */
const SMALL_CHUNKS = ['engine.max_num_seqs=8', 'engine.max_num_batched_tokens=8', 'engine.block_size=4'];

const SOURCE_RUNS: readonly Run[] = [1, 2, 3, 4, 7].flatMap((ranks) =>
  (['linear', 'round_robin'] as const).map((placement) =>
    // One of them with small chunks and another block size: the batches differ in every step.
    run(ranks, placement, 'source', ranks === 3 && placement === 'round_robin' ? SMALL_CHUNKS : []),
  ),
);
const RANK_RUNS: readonly Run[] = [
  run(2, 'linear', 'rank'),
  run(7, 'round_robin', 'rank'),
  run(2, 'round_robin', 'rank', ['compute=tensors']),
];

const redundant = (ranks: number, choice: ReplicaChoice, reduce: 'rank' | 'source', numRedundant: number): Run => {
  const set = [`experts.num_redundant_experts=${numRedundant}`, `experts.replica_choice=${choice}`];
  return run(ranks, 'round_robin', reduce, set, numRedundant);
};
/** Every way to choose on 2, 3 and 4 ranks: test/lib/head/replicas.test.ts. */
const REDUNDANT_RUNS: readonly Run[] = [
  redundant(4, 'balanced', 'source', 16),
  redundant(2, 'allgather', 'source', 32),
  redundant(4, 'local_first', 'rank', 32),
  redundant(4, 'round_robin', 'rank', 5),
];

/** What a run gave. */
interface Observed {
  readonly greedy: readonly (readonly number[])[];
  readonly sampled: readonly (readonly number[])[];
  readonly scores: readonly Scored[];
  readonly alone: { readonly sampled: readonly number[]; readonly score: Scored } | null;
  readonly stats: EngineStats;
}

async function observe(engine: Engine): Promise<Observed> {
  const sample = (i: number): Promise<readonly number[]> =>
    generateIds(engine, { promptTokenIds: PROMPTS[i]!, maxNewTokens: 12, sampling: { ...SAMPLING, choice: i } }).then(
      (out) => out.tokenIds,
    );
  const greedyOf = (promptTokenIds: readonly number[]): Promise<readonly number[]> =>
    generateIds(engine, { promptTokenIds }).then((out) => out.tokenIds);
  // Everything at once: prompts, outputs and scores share their steps.
  const [greedy, sampled, scores] = await Promise.all([
    Promise.all(PROMPTS.map(greedyOf)),
    Promise.all(PROMPTS.map((_, i) => sample(i))),
    Promise.all(PROMPTS.map((ids) => scoreIds(engine, ids))),
  ]);
  const isAlone = engine.placement.numRanks <= 3;
  const alone = isAlone ? { sampled: await sample(ALONE), score: await scoreIds(engine, PROMPTS[ALONE]!) } : null;
  return { greedy, sampled, scores, alone, stats: engine.stats() };
}

const hashOf = (values: Float32Array): string =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');

const sorted = (experts: readonly number[]): number[] => [...experts].sort((a, b) => a - b);

describe('golden of moe-7m on real processes', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());

  const first: { observed?: Observed } = {};
  for (const setup of [...SOURCE_RUNS, ...RANK_RUNS, ...REDUNDANT_RUNS]) {
    describe(setup.name, () => {
      let observed: Observed;
      before(async function () {
        this.timeout(120_000);
        const engine = await startEngine(setup);
        try {
          observed = await observe(engine);
        } finally {
          await engine.close();
        }
      });

      it('leaves no process and no port behind', () => {
        processes.expectNone();
        expect(process.getActiveResourcesInfo()).not.to.include('TCPServerWrap');
      });

      it('greedy tokens of all prompts are the golden ones', () => {
        expect(observed.greedy).to.deep.equal(CASES.map((golden) => golden.greedy_token_ids));
      });

      it('logits after each prompt are within 1e-4 of the float64 ones', () => {
        CASES.forEach(({ last_prompt_logits: expected, prompt }, i) => {
          const last = observed.scores[i]!.logits.subarray(-VOCAB_SIZE);
          const worst = expected.reduce((max, value, v) => Math.max(max, Math.abs(value - last[v]!)), 0);
          expect(worst, prompt).to.be.below(1e-4);
        });
      });

      it('routes every token of the prompts to the golden experts', () => {
        CASES.forEach(({ routing_of_prompt: expected, prompt }, i) => {
          const { routedExperts } = observed.scores[i]!;
          const actual = expected.map((_, layer) => routedExperts.map((layers) => sorted(layers[layer]!)));
          expect(actual, prompt).to.deep.equal(expected.map((tokens) => tokens.map(sorted)));
        });
      });

      it('every rank reads exactly the bytes of the tensors that it holds', () => {
        const { ranks, placement, numRedundant } = setup;
        // Copies come in the order of experts (round_robin), each on the rank after its own.
        const isCopy = (expert: number, rank: number): boolean =>
          expert < numRedundant && (expert + 1) % ranks === rank;
        const expected = tensorBytesByRank(moe7m(), ranks, (expert, rank) => {
          return holderOf(placement, expert, NUM_EXPERTS, ranks) === rank || isCopy(expert, rank) ? 1 : 0;
        });
        expect(observed.stats.loadReports.map((report) => report.bytesRead)).to.deep.equal(expected);
      });

      if (setup.reduce !== 'source') return;

      it('logits of all positions are bit-equal to those of the first run', () => {
        first.observed ??= observed;
        const expected = first.observed.scores.map((score) => hashOf(score.logits));
        expect(observed.scores.map((score) => hashOf(score.logits))).to.deep.equal(expected);
        expect(observed.scores.map((score) => score.perplexity)).to.deep.equal(
          first.observed.scores.map((score) => score.perplexity),
        );
      });

      it('sampled tokens are those of the first run', () => {
        first.observed ??= observed;
        expect(observed.sampled).to.deep.equal(first.observed.sampled);
      });

      if (setup.ranks > 3) return;

      it('logits and samples of a prompt are the same alone as among others', () => {
        expect(hashOf(observed.alone!.score.logits)).to.equal(hashOf(observed.scores[ALONE]!.logits));
        expect(observed.alone!.sampled).to.deep.equal(observed.sampled[ALONE]);
      });
    });
  }

  describe('all of them together', () => {
    it('samples differ from greedy tokens and from each other', () => {
      const { greedy, sampled } = first.observed!;
      sampled.forEach((tokenIds, i) => expect(tokenIds).not.to.deep.equal(greedy[i]));
      expect(new Set(sampled.map((tokenIds) => tokenIds.join())).size).to.equal(sampled.length);
    });
  });
});

describe('counters of real rank processes', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  for (const reduce of ['source', 'rank'] as const) {
    it(`bytes on the wire and expert load follow from the routing (reduce: ${reduce})`, async () => {
      const strategy = 'round_robin';
      const numRanks = 3;
      const engine = await startEngine({ model: moe7m(), ranks: numRanks, placement: strategy, reduce });
      try {
        // One prompt for each rank: an idle job gives them to the ranks in order.
        const prompts = PROMPTS.slice(0, numRanks);
        const outputs = await Promise.all(
          prompts.map((promptTokenIds) => generateIds(engine, { promptTokenIds, maxNewTokens: 8 })),
        );
        const stats = engine.stats();
        const shape = { hidden: 192, numTopk: 4, numExperts: NUM_EXPERTS, numMoeLayers: 3, numSteps: stats.numSteps };
        const tokensByRank = outputs.map((output) => output.routedExperts);
        const expected = trafficOf(tokensByRank, { ...shape, strategy, reduce });
        expect(stats.dispatchBytes).to.deep.equal(expected.dispatchBytes);
        expect(stats.combineBytes).to.deep.equal(expected.combineBytes);
        const load = Array.from({ length: 3 }, () => new Array<number>(NUM_EXPERTS).fill(0));
        for (const layers of tokensByRank.flat()) {
          layers.forEach((experts, layer) => experts.forEach((expert) => load[layer]![expert]!++));
        }
        expect(stats.expertLoad.map((counts) => [...counts])).to.deep.equal(load);
        expect(stats.numSteps).to.equal(8);
        expect(stats.numPromptTokens).to.equal(prompts.flat().length);
        expect(stats.numOutputTokens).to.equal(8 * numRanks);
      } finally {
        await engine.close();
      }
    });
  }

  it('no tensor outlives its request, and no KV block the reset of the prefix cache', async () => {
    const engine = await startEngine({ model: moe7m(), ranks: 2 });
    try {
      // A short score comes last: its only step shows what the ranks still hold of everything before.
      const held = async (): Promise<object> => {
        expect(engine.resetPrefixCache()).to.equal(true);
        await scoreIds(engine, [0, 36]);
        return engine
          .stats()
          .ranks.map(({ numTensors, tensorBytes, numKvBlocks }) => ({ numTensors, tensorBytes, numKvBlocks }));
      };
      const generateAll = (): Promise<unknown> =>
        Promise.all(PROMPTS.map((promptTokenIds) => generateIds(engine, { promptTokenIds, maxNewTokens: 8 })));
      await held(); // the first step makes constants that stay
      const before = await held();
      await generateAll();
      expect(await held()).to.deep.equal(before);
      await generateAll();
      expect(await held()).to.deep.equal(before);
      expect(engine.stats().ranks.map((rank) => rank.numKvBlocks)).to.deep.equal([1, 0]);
    } finally {
      await engine.close();
    }
  });
});
