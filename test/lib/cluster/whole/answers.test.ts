/** Whole clusters in this process: whatever answers a request, and wherever it goes on, its client has what one instance answers. */
import { expect } from 'chai';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import { ROUTING_POLICIES } from '../../../../lib/config/plugin_names.js';
import { askAndMove } from '../../../kit/cluster/whole/moved_request.js';
import { WholeCluster } from '../../../kit/cluster/whole/whole_cluster.js';
import { PROMPT } from '../../../kit/engine/masking.js';
import { tinyModel } from '../../../kit/paths.js';

const NUM_NEW = 12;
/** A source takes some steps more before it has paused: behind these a request may be over before it moves. */
const NUM_MOVES = NUM_NEW - 4;
const TEXT = { prompt: 'Once upon a time there was a clockmaker who', max_tokens: 8, temperature: 0 };
const GREEDY = { prompt: PROMPT, max_tokens: NUM_NEW, ignore_eos: true, temperature: 0, return_token_ids: true };
const SAMPLED = { ...GREEDY, temperature: 1.5, repetition_penalty: 1.3, seed: 11 };

/** Each streamed, and whole. */
const bothWays = (bodies: readonly object[]): object[] =>
  bodies.flatMap((body) => [true, false].map((stream) => ({ ...body, stream })));

const SCENES = [
  { model: 'tiny-qwen3-moe', from: 1, to: 2, blocks: [4, 8] },
  { model: 'tiny-qwen3-moe', from: 2, to: 1, blocks: [8, 3] },
  { model: 'tiny-deepseek-v3', from: 1, to: 2, blocks: [8, 4] },
  { model: 'tiny-deepseek-v3', from: 2, to: 1, blocks: [4, 16] },
] as const;

describe('a whole cluster answers as one instance', () => {
  it('by every policy, streamed and whole, greedy and drawn', async () => {
    const bodies = [
      { ...TEXT, stream: true },
      { ...TEXT, temperature: 1, seed: 7 },
    ];
    const chat = { messages: [{ role: 'user', content: TEXT.prompt }], max_tokens: 8, seed: 7, stream: true };
    const inChat = { path: '/v1/chat/completions' };
    const alone = await WholeCluster.alone(DEMO_MODEL, bodies);
    const aloneInChat = await WholeCluster.alone(DEMO_MODEL, [chat], inChat);
    const instances = ['a', 'b', 'c'].map((id) => ({ id, numRanks: 1 }));
    await WholeCluster.use({ model: DEMO_MODEL, instances }, async (cluster) => {
      for (const policy of ROUTING_POLICIES) {
        await cluster.routeBy({ policy, temperature: 0.5 });
        const asked = [...bodies.map((body) => cluster.ask(body)), cluster.ask(chat, inChat)];
        expect(await Promise.all(asked), policy).to.deep.equal([...alone, ...aloneInChat]);
      }
    });
  }).timeout(120_000);

  for (const { model: name, from, to, blocks } of SCENES) {
    const model = tinyModel(name);
    const bodies = bothWays([GREEDY, SAMPLED]);

    it(`with prompts computed apart, in bulk and layer by layer: ${name}, ${from} to ${to} ranks`, async () => {
      const alone = await WholeCluster.alone(model, bodies);
      const target = { numRanks: to, role: 'decode' } as const;
      const set = [`engine.block_size=${blocks[1]}`, 'engine.prefix_cache=off'];
      const instances = [
        { id: 'prompts', numRanks: from, role: 'prefill', set: [`engine.block_size=${blocks[0]}`] },
        { id: 'bulk', ...target, set: [...set, 'cluster.kv_stream=off'] },
        { id: 'streamed', ...target, set: [...set, 'cluster.kv_stream=on'] },
      ] as const;
      await WholeCluster.use({ model, instances }, async (cluster) => {
        for (let i = 0; i < 2; i++) {
          expect(await Promise.all(bodies.map((body) => cluster.ask(body)))).to.deep.equal(alone);
        }
        const moves = cluster.stories.map((story) => story.moves.map(({ isDone, why }) => [isDone, why]));
        expect(moves).to.deep.equal(Array.from({ length: 2 * bodies.length }, () => [[true, 'apart']]));
        for (const id of ['bulk', 'streamed']) {
          const { arrivals, numArrivedTokens } = cluster.instance(id).local.engine.stats();
          expect(arrivals, id).to.deep.include({ numFailedPulls: 0, numRecomputed: 0, numLostSources: 0 });
          expect(numArrivedTokens, id).to.equal(bodies.length * PROMPT.length);
        }
      });
    }).timeout(120_000);

    it(`wherever a request moves: ${name}, ${from} and ${to} ranks`, async () => {
      const alone = await WholeCluster.alone(model, bodies);
      const instances = [
        { id: 'a', numRanks: from, set: [`engine.block_size=${blocks[0]}`] },
        { id: 'b', numRanks: to, set: [`engine.block_size=${blocks[1]}`] },
      ];
      const set = ['engine.prefix_cache=off'];
      await WholeCluster.use({ model, instances, set }, async (cluster) => {
        for (let at = 0; at < NUM_MOVES; at++) {
          for (const [i, body] of bodies.entries()) {
            expect(await askAndMove(cluster, body, { at }), `${JSON.stringify(body)} at ${at}`).to.deep.equal(alone[i]);
            await cluster.checkIdle();
          }
        }
        const moves = cluster.stories.flatMap((story) => story.moves.map(({ isDone }) => isDone));
        expect(moves.filter(Boolean)).to.have.length(NUM_MOVES * bodies.length);
      });
    }).timeout(120_000);
  }
});
