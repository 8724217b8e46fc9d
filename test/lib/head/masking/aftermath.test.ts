/** What a lost rank leaves to the requests of a job with on_peer_loss: mask. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { completionJson } from '../../../../lib/commands/generate/completion.js';
import { statsJson } from '../../../../lib/commands/generate/stats_json.js';
import { summary } from '../../../../lib/commands/generate/summary.js';
import { cacheBlockBytes } from '../../../../lib/model/spec/cache_layout.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { heldMemory } from '../../../kit/kernels/held_memory.js';
import type { Fault, LocalEngine, LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { replicated } from '../../../kit/engine/placements.js';
import { errorOf } from '../../../kit/rejects.js';
import {
  PROMPT,
  PROMPTS,
  NUM_NEW,
  withLocalEngine,
  type Story,
  generate,
  batch,
  lostOf,
  undisturbedBatch,
  frame,
} from '../../../kit/engine/masking.js';

const TIMING = { elapsedMs: 1000, firstTokenMs: 10 };

for (const mla of ['absorbed', 'auto'] as const) {
  describe(`a lost rank, masked, mla ${mla}`, function () {
    this.timeout(60_000);
    const withEngine = <T>(options: LocalEngineOptions, use: (local: LocalEngine) => Promise<T>): Promise<T> =>
      withLocalEngine({ mla, ...options }, use);
    let undisturbed: Story[];

    before(async () => {
      undisturbed = await undisturbedBatch(mla);
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
        logprobs: null,
        routedExperts: null,
        routerLogits: null,
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
        expect(local.losses[0]!.lost[0]!.error.message).to.include(
          'rank 0 failed in step 1: INTERNAL: the device is gone',
        );
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
      const disturbed = await score([frame(0, 'dispatch', 1, 3), frame(1, 'dispatch', 0, 5)]);
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
            expect(local.engine.resetPrefixCache()).to.equal(true);
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
          const perBlock = cacheBlockBytes(attention, 'f32', 16) * layers.length;
          expect(after[0]! - before[0]!).to.equal(perBlock * ofLost);
          expect([after[1], after[3]]).to.deep.equal([before[1], before[3]]);
        },
      );
    });

    it("with on_peer_loss 'fail' the same loss ends the job", async () => {
      const options = { numRanks: 3, placement: replicated(2), onPeerLoss: 'fail' as const };
      await withEngine({ ...options, faults: [frame(1, 'combine', 0)] }, async (local) => {
        const error = await errorOf(EngineError, () => generate(local, {}));
        expect(error.message).to.match(/^RANK_LOST: rank 1 .* was killed by SIGKILL/);
        expect(local.losses).to.deep.equal([]);
      });
    });
  });
}
