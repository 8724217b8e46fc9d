/** Ranks that are lost while a job runs with on_peer_loss: mask. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { completionJson } from '../../../lib/commands/generate/generate.js';
import { statsJson, summary } from '../../../lib/commands/generate/summary.js';
import { cacheFloatsPerToken } from '../../../lib/model/spec/cache_layout.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { GenerationRequest, TokenEvent } from '../../../lib/protocol/request.js';
import type { Transformer } from '../../../lib/model/transformer.js';
import { tinyGolden } from '../../kit/goldens.js';
import { heldMemory } from '../../kit/held_memory.js';
import { startLocalEngine, type Fault, type LocalEngine, type LocalEngineOptions } from '../../kit/local_engine.js';
import { tinyModel } from '../../kit/paths.js';
import { replicated } from '../../kit/placements.js';
import { errorOf } from '../../kit/rejects.js';
import { randomFrom } from '../../refs/random.js';

const MODEL = 'tiny-deepseek-v3';
const GOLDEN = tinyGolden(MODEL);
const PROMPT = GOLDEN.prompt_token_ids;
/** Prompts that differ, one for each sequence of a batch. */
const PROMPTS = [PROMPT, PROMPT.slice(0, 7), PROMPT.slice(3, 20), PROMPT.slice(5, 9)];
const NUM_NEW = 10;
const TIMING = { elapsedMs: 1000, firstTokenMs: 10 };
/** The first MoE layer. */
const LAYER = 1;

async function withLocalEngine<T>(options: LocalEngineOptions, use: (local: LocalEngine) => Promise<T>): Promise<T> {
  const local = await startLocalEngine(tinyModel(MODEL), options);
  try {
    return await use(local);
  } finally {
    await local.close();
  }
}

interface Story {
  readonly tokenIds: readonly number[];
  readonly kinds: readonly string[];
  readonly routedExperts: readonly (readonly (readonly number[])[])[];
  readonly numDegradedTokens: number;
}

async function generate({ engine }: LocalEngine, request: Partial<GenerationRequest>): Promise<Story> {
  const events: TokenEvent[] = [];
  const defaults = { promptTokenIds: PROMPT, maxNewTokens: NUM_NEW, ignoreEos: true, returnRoutedExperts: true };
  for await (const event of engine.generate({ ...defaults, ...request })) events.push(event);
  const last = events.at(-1) as Extract<TokenEvent, { kind: 'finished' }>;
  const tokenIds = events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []));
  const { routedExperts, numDegradedTokens } = last;
  return { tokenIds, kinds: events.map(({ kind }) => kind), routedExperts: routedExperts!, numDegradedTokens };
}

/** One sequence per prompt: greedy ones and ones whose samples and penalties see the whole history. */
const batch = (local: LocalEngine): Promise<Story[]> =>
  Promise.all(
    PROMPTS.map((promptTokenIds, i) =>
      generate(local, {
        promptTokenIds,
        ...(i % 2 === 1 && { sampling: { temperature: 1.5, repetitionPenalty: 1.3, seed: 11, choice: i } }),
      }),
    ),
  );

const lostOf = ({ losses }: LocalEngine): number[][] => losses.map(({ lost }) => lost.map(({ rank }) => rank));

for (const mla of ['absorbed', 'auto'] as const) {
  describe(`a lost rank, masked, mla ${mla}`, function () {
    this.timeout(60_000);
    const withEngine = <T>(options: LocalEngineOptions, use: (local: LocalEngine) => Promise<T>): Promise<T> =>
      withLocalEngine({ mla, ...options }, use);
    let undisturbed: Story[];

    before(async () => {
      undisturbed = await withEngine({ numRanks: 3, placement: replicated(2) }, batch);
      expect(undisturbed[0]!.tokenIds).to.deep.equal(GOLDEN.greedy_token_ids.slice(0, NUM_NEW));
      for (const story of undisturbed)
        expect(story.kinds).to.deep.equal([...story.tokenIds.map(() => 'token'), 'finished']);
    });

    const frame = (rank: number, phase: 'dispatch' | 'combine', numSent: number, step = 4, layer = LAYER): Fault => ({
      rank,
      at: { kind: 'frame', step, layer, phase, numSent },
    });

    const moments: [string, Fault[], number[][]][] = [
      ['in the first step, before it dispatches', [frame(1, 'dispatch', 0, 1)], [[1]]],
      ['before it dispatches', [frame(1, 'dispatch', 0)], [[1]]],
      ['when one of its peers has its dispatch and the other has not', [frame(0, 'dispatch', 1)], [[0]]],
      ['between dispatch and combine', [frame(2, 'combine', 0)], [[2]]],
      ['when one of its peers has its combine and the other has not', [frame(1, 'combine', 1)], [[1]]],
      ['in the last layer', [frame(1, 'combine', 1, 5, 2)], [[1]]],
      ['between two steps', [{ rank: 0, at: { kind: 'after_step', step: 3 } }], [[0]]],
    ];
    for (const [when, faults, lost] of moments) {
      it(`killed ${when}: with replicas every token, sample and route is as if nothing had happened`, async () => {
        await withEngine({ numRanks: 3, placement: replicated(2), faults }, async (local) => {
          expect(await batch(local)).to.deep.equal(undisturbed);
          expect(lostOf(local)).to.deep.equal(lost);
          expect(local.losses[0]!.numRecomputed).to.be.within(1, 2);
          expect(local.engine.stats()).to.deep.include({ lostRanks: lost.flat(), numDegradedTokens: 0 });
        });
      });
    }

    it('with replicas the logits of every token are as if nothing had happened, to the last bit', async () => {
      const logitsOf = (faults: readonly Fault[]): Promise<Buffer[]> =>
        withEngine({ numRanks: 3, placement: replicated(3), faults }, async (local) => {
          const rows: Buffer[] = [];
          for (const executor of local.executors) {
            const { model } = Reflect.get(executor, 'parts') as { model: Transformer };
            const forward = model.forward.bind(model);
            model.forward = async (request) => {
              const result = await forward(request);
              const { states } = result;
              const original = states?.logits.bind(states);
              if (states !== null) {
                states.logits = async (wanted) => {
                  const logits = await original!(wanted);
                  rows.push(...logits.map((row) => Buffer.from(row.values().buffer)));
                  return logits;
                };
              }
              return result;
            };
          }
          await generate(local, {});
          expect(lostOf(local)).to.have.length(faults.length);
          return rows;
        });
      const alone = await logitsOf([]);
      expect(alone).to.have.length(NUM_NEW);
      // A single sequence begins on rank 0, and goes to rank 1 then.
      const disturbed = await logitsOf([frame(0, 'dispatch', 0, 4), frame(1, 'dispatch', 0, 9)]);
      expect(disturbed.map((row, i) => row.equals(alone[i]!))).to.deep.equal(alone.map(() => true));
    });

    it('stopped: its peers accuse it after their timeout, and the others go on', async () => {
      const faults = [{ ...frame(1, 'combine', 1), how: 'stopped' as const }];
      await withEngine({ numRanks: 3, placement: replicated(2), faults, timeoutMs: 1000 }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1]]);
        const { error } = local.losses[0]!.lost[0]!;
        expect(error.message).to.match(/^TIMEOUT: rank 1 .*combine of layer 1.* 1000 ms, says rank [02] in step 4;/);
      });
    });

    it('with two micro-batches in flight too, at any frame of a layer', async () => {
      for (const phase of ['dispatch', 'combine'] as const) {
        for (const numSent of [0, 1, 2, 3]) {
          const options = { numRanks: 3, placement: replicated(2), microBatches: 2 };
          await withEngine({ ...options, faults: [frame(1, phase, numSent, 1)] }, async (local) => {
            expect(await batch(local)).to.deep.equal(undisturbed);
            expect(lostOf(local)).to.deep.equal([[1]]);
          });
        }
      }
    });

    it('frames of an abandoned step that arrive in the next epoch are discarded and counted', async () => {
      // Rank 2 reaches its peers late in the step in which rank 1 dies.
      const faults = [frame(1, 'combine', 0), { ...frame(2, 'combine', 0), how: 'late' as const }];
      await withEngine({ numRanks: 3, placement: replicated(2), faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1]]);
        expect(local.meshes[0]!.stats().stale).to.be.above(0);
      });
    });

    it('any ranks but one lost at random moments of a run: every event is as if nothing had happened', async () => {
      const random = randomFrom(5);
      const below = (count: number): number => Math.floor(random() * count);
      let numLost = 0;
      for (let run = 0; run < 12; run++) {
        const numRanks = 2 + below(3);
        const faults = Array.from({ length: numRanks - 1 }, (_, rank): Fault => {
          const step = 1 + below(14);
          const phase = below(2) === 0 ? 'dispatch' : 'combine';
          const moments: Fault['at'][] = [
            { kind: 'frame', step, layer: LAYER + below(2), phase, numSent: below(numRanks - 1) },
            { kind: 'after_step', step },
            { kind: 'before_result', step },
            { kind: 'epoch', epoch: 1 + below(2) },
          ];
          return { rank: (rank + run) % numRanks, at: moments[below(5)] ?? moments[0]! };
        });
        await withEngine({ numRanks, placement: replicated(numRanks), faults }, async (local) => {
          expect(await batch(local), JSON.stringify({ numRanks, faults })).to.deep.equal(undisturbed);
          numLost += lostOf(local).flat().length;
        });
      }
      expect(numLost).to.be.above(8);
    });

    it('stopped when no peer waits for it: the step takes too long, and whoever has not finished it is lost', async () => {
      const faults: Fault[] = [{ rank: 1, at: { kind: 'before_result', step: 4 }, how: 'stopped' }];
      await withEngine({ numRanks: 3, placement: replicated(2), faults, stepTimeoutMs: 1000 }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1]]);
        expect(local.losses[0]!.lost[0]!.error.message).to.match(
          /^TIMEOUT: rank 1 did not finish step 4 within 1000 ms/,
        );
      });
    });

    it('the link between two ranks that live is cut: one of them goes, and the others go on', async () => {
      for (const faults of [
        [{ ...frame(0, 'combine', 1), cutFrom: 2 }],
        [{ ...frame(2, 'dispatch', 0), cutFrom: 0 }],
      ]) {
        await withEngine({ numRanks: 3, placement: replicated(2), faults }, async (local) => {
          expect(await batch(local)).to.deep.equal(undisturbed);
          expect(lostOf(local)).to.deep.equal([[2]]);
          const { message } = local.losses[0]!.lost[0]!.error;
          expect(message).to.match(/^RANK_LOST: rank 2 .* of layer 1.*, says rank 0 in step 4;/);
        });
      }
    });

    it('two ranks killed in one step make one epoch', async () => {
      const faults = [frame(1, 'dispatch', 1), frame(2, 'dispatch', 1)];
      await withEngine({ numRanks: 3, placement: replicated(3), faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1, 2]]);
        expect(local.losses[0]).to.include({ epoch: 1, numRanksLeft: 1, abandonedStep: 4 });
      });
    });

    it('a rank killed while it is told of an epoch makes another epoch before a step runs', async () => {
      const faults: Fault[] = [frame(1, 'dispatch', 1), { rank: 0, at: { kind: 'epoch', epoch: 1 } }];
      await withEngine({ numRanks: 3, placement: replicated(3), faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(local.losses.map(({ epoch }) => epoch)).to.deep.equal([2]);
        expect(lostOf(local)).to.deep.equal([[1, 0]]);
      });
    });

    it('a rank that falls silent while it is told of an epoch is lost after its timeout', async () => {
      const faults: Fault[] = [frame(1, 'dispatch', 1), { rank: 2, at: { kind: 'epoch', epoch: 1 }, how: 'stopped' }];
      await withEngine({ numRanks: 3, placement: replicated(3), faults, timeoutMs: 1000 }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1, 2]]);
        expect(local.losses[0]!.lost[1]!.error.message).to.match(/rank 2 did not enter epoch 1 within 1000 ms/);
      });
    });

    it('all but one killed, one after another: the last rank finishes everything', async () => {
      const faults = [frame(0, 'combine', 0, 2), frame(3, 'dispatch', 1, 4), frame(1, 'dispatch', 0, 7)];
      await withEngine({ numRanks: 4, placement: replicated(4), faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[0], [3], [1]]);
        expect(local.engine.stats().lostRanks).to.deep.equal([0, 1, 3]);
      });
    });

    it('a rank killed while the job is idle is told at once, and the next request runs without it', async () => {
      await withEngine({ numRanks: 3, placement: replicated(2) }, async (local) => {
        await generate(local, { maxNewTokens: 2 });
        local.fail(0);
        while (local.losses.length === 0) await new Promise((resolve) => setImmediate(resolve));
        expect(local.losses[0]).to.include({ abandonedStep: null, numRecomputed: 0, numRanksLeft: 2 });
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[0]]);
      });
    });

    it('the last rank killed: every request fails with RANK_LOST', async () => {
      await withEngine({ numRanks: 2, faults: [frame(0, 'dispatch', 0), frame(1, 'dispatch', 0)] }, async (local) => {
        const errors = await Promise.all(
          PROMPTS.map((promptTokenIds) => errorOf(EngineError, () => generate(local, { promptTokenIds }))),
        );
        for (const { code, message } of errors) {
          expect(code).to.equal('RANK_LOST');
          expect(message).to.match(/no rank is left to go on with: rank [01] .* SIGKILL.*rank [01] .* SIGKILL/);
        }
      });
    });

    it('without replicas, exactly the tokens that chose an expert of the lost rank are degraded from then on', async () => {
      const step = 4;
      await withEngine({ numRanks: 3, faults: [frame(2, 'combine', 0, step)] }, async (local) => {
        const { placement, engine } = local;
        // A job without other sequences gives this one to rank 0, which stays.
        const { tokenIds, routedExperts, numDegradedTokens } = await generate(local, {});
        expect(lostOf(local)).to.deep.equal([[2]]);
        expect(local.losses[0]!.numRecomputed).to.equal(0);
        expect(tokenIds).to.have.length(NUM_NEW);
        expect(routedExperts).to.have.length(PROMPT.length + NUM_NEW - 1);
        const { slotsPerRank } = placement;
        const isLost = (expert: number, moeLayer: number): boolean =>
          Math.floor(placement.phy2log[moeLayer]!.indexOf(expert) / slotsPerRank) === 2;
        // The prompt was step 1, so step 4 would have computed the third output token.
        const after = routedExperts.slice(PROMPT.length + step - 2);
        const expected = after.filter((layers) =>
          layers.some((experts, moeLayer) => experts.some((e) => isLost(e, moeLayer))),
        );
        expect(expected.length).to.be.within(1, after.length);
        expect(numDegradedTokens).to.equal(expected.length);
        expect(engine.stats().numDegradedTokens).to.equal(expected.length);
        expect(statsJson(engine, TIMING)).to.deep.include({ lost_ranks: [2], degraded_tokens: expected.length });
        const line = `rank 2 lost on the way · ${expected.length} tokens degraded`;
        const text = summary(engine, [], TIMING);
        expect(text).to.include(line);
        expect(text.match(/^ {2}rank [01] .*█/gm), 'bars of two ranks per layer').to.have.length(
          2 * placement.phy2log.length,
        );
        expect(text, 'no bar of the lost rank').not.to.match(/^ {2}rank 2 /m);
      });
    });

    it('an output says how many of its tokens are degraded, only where some are', () => {
      const prompt = { text: 'a', label: null, tokenIds: [1] };
      const rest = {
        tokenIds: [2],
        text: 'b',
        finishReason: 'length',
        seed: 0,
        routedExperts: null,
        firstTokenAtMs: 0,
      } as const;
      expect(completionJson({ prompt, ...rest, numDegradedTokens: 3 }, false)).to.include({ degraded_tokens: 3 });
      expect(completionJson({ prompt, ...rest, numDegradedTokens: 0 }, false)).not.to.have.property('degraded_tokens');
    });

    it('NaN, which every rank would compute from the same tokens, ends the job instead of one rank after another', async () => {
      await withEngine({ numRanks: 3, placement: replicated(3) }, async (local) => {
        local.executors[0]!.run = () => Promise.reject(new EngineError('NOT_FINITE', 'the logit of token 5 is NaN'));
        const error = await errorOf(EngineError, () => generate(local, {}));
        expect(error.message).to.match(/^RANK_FAILED: rank 0 failed in step 1: NOT_FINITE/);
        expect(local.losses).to.deep.equal([]);
      });
    });

    it('a rank with an error of its own is lost, and the others go on', async () => {
      await withEngine({ numRanks: 3, placement: replicated(2) }, async (local) => {
        local.executors[0]!.run = () => Promise.reject(new Error('the device is gone'));
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[0]]);
        expect(local.losses[0]!.lost[0]!.error.message).to.include('rank 0 failed in step 1: the device is gone');
      });
    });

    it('a recomputed sequence counts a degraded position once, and the same loss gives the same tokens again', async () => {
      const run = (): Promise<Story[]> =>
        withEngine({ numRanks: 3, faults: [frame(0, 'dispatch', 1, 3), frame(1, 'dispatch', 0, 6)] }, async (local) => {
          const stories = await batch(local);
          expect(lostOf(local)).to.deep.equal([[0], [1]]);
          const positions = PROMPTS.reduce((sum, { length }) => sum + length + NUM_NEW - 1, 0);
          const perRequest = stories.reduce((sum, { numDegradedTokens }) => sum + numDegradedTokens, 0);
          expect(perRequest).to.be.within(1, positions);
          expect(local.engine.stats().numDegradedTokens).to.be.above(perRequest); // the second loss replays what the first one degraded
          return stories;
        });
      const stories = await run();
      for (const { kinds } of stories)
        expect(kinds).to.deep.equal([...new Array<string>(NUM_NEW).fill('token'), 'finished']);
      expect(await run()).to.deep.equal(stories);
    });

    it('a score in the middle of its prompt delivers every log-probability, logit and route once', async () => {
      const set = ['engine.max_num_batched_tokens=8', 'engine.max_num_seqs=4', 'engine.block_size=4'];
      const score = (faults: readonly Fault[]) =>
        withEngine({ numRanks: 3, placement: replicated(3), faults, set }, async (local) => {
          const logits: number[] = [];
          const result = await local.engine.score({
            tokenIds: PROMPT,
            onLogits: (chunk) => void logits.push(...chunk),
          });
          return { result, logits, recomputed: local.losses.map(({ numRecomputed }) => numRecomputed) };
        });
      const alone = await score([]);
      expect(alone.logits).to.have.length(PROMPT.length * 96);
      const disturbed = await score([frame(0, 'combine', 1, 3), frame(1, 'dispatch', 0, 5)]);
      expect(disturbed.recomputed[0]).to.equal(1);
      expect(disturbed.result).to.deep.equal(alone.result);
      expect(disturbed.logits).to.deep.equal(alone.logits);
    });

    it('prompts that are longer than a step are computed anew in chunks, and leave room for others', async () => {
      const limits = { max_num_batched_tokens: 6, max_num_seqs: 3, num_kv_blocks: 12, block_size: 4 };
      const set = Object.entries(limits).map(([key, value]) => `engine.${key}=${value}`);
      const faults = [frame(0, 'dispatch', 1, 6), frame(2, 'combine', 0, 12)];
      await withEngine({ numRanks: 3, placement: replicated(3), set, faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[0], [2]]);
      });
    });

    it('a request that is cancelled while its rank is lost leaves nothing behind', async () => {
      await withEngine({ numRanks: 3, placement: replicated(2), faults: [frame(0, 'dispatch', 1)] }, async (local) => {
        const caller = new AbortController();
        const request = { promptTokenIds: PROMPT, maxNewTokens: NUM_NEW, ignoreEos: true };
        const events = local.engine.generate(request, caller.signal);
        const others = batch(local);
        for (let i = 0; i < 3; i++) await events.next();
        caller.abort();
        const error = await errorOf(EngineError, () => events.next());
        expect(error.code).to.equal('CLOSED');
        expect((await others).map(({ tokenIds }) => tokenIds)).to.deep.equal(
          undisturbed.map(({ tokenIds }) => tokenIds),
        );
      });
    });

    it('an abandoned step leaves no tensor and no KV block behind', async () => {
      await withEngine(
        { numRanks: 3, placement: replicated(2), faults: [frame(1, 'combine', 1, 6)] },
        async (local) => {
          // A short score comes last: its step frees what the others left, and shows what the ranks still hold.
          const held = async (): Promise<number[]> => {
            await local.engine.score({ tokenIds: [1, 2] });
            await local.engine.score({ tokenIds: [1, 2] });
            return [
              heldMemory(local.models).numBytes,
              ...local.engine.stats().ranks.map(({ numKvBlocks }) => numKvBlocks),
            ];
          };
          const before = await held();
          await batch(local);
          expect(lostOf(local)).to.deep.equal([[1]]);
          const after = await held();
          const ofLost = local.executors[1]!.stats().numKvBlocks;
          const { attention, layers } = local.engine.spec;
          const perBlock = 16 * 4 * cacheFloatsPerToken(attention) * layers.length;
          expect(after[0]! - before[0]!).to.equal(perBlock * ofLost);
          expect([after[1], after[3]]).to.deep.equal([before[1], before[3]]);
        },
      );
    });

    it("with on_peer_loss 'fail' the same loss ends the job", async () => {
      const options = { numRanks: 3, placement: replicated(2), onPeerLoss: 'fail' as const };
      await withEngine({ ...options, faults: [frame(1, 'dispatch', 1)] }, async (local) => {
        const error = await errorOf(EngineError, () => generate(local, {}));
        expect(error.message).to.match(/^RANK_LOST: rank 1 .* was killed by SIGKILL/);
        expect(local.losses).to.deep.equal([]);
      });
    });
  });
}
