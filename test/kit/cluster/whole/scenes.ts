/** Requests that go on in another instance, in which each message can be the last one: of both kinds of attention, to more ranks and to fewer, streamed and whole. */
import { PROMPT } from '../../engine/masking.js';
import { tinyModel } from '../../paths.js';
import type { Scene } from './kills.js';

const GREEDY = { prompt: PROMPT.slice(0, 13), max_tokens: 6, ignore_eos: true, temperature: 0, return_token_ids: true };
const DRAWN = { ...GREEDY, max_tokens: 8, temperature: 1.2, seed: 5 };

const [GQA, MLA] = ['tiny-qwen3-moe', 'tiny-deepseek-v3'].map(tinyModel) as [string, string];
/** A load report tells the router that an instance is there again. */
const set = ['cluster.load_interval_ms=10', 'engine.block_size=4'];

const apart = (model: string, from: number, to: number, kvStream: string): Scene['cluster'] => ({
  model,
  set: [...set, `cluster.kv_stream=${kvStream}`],
  instances: [
    { id: 'prompts', numRanks: from, role: 'prefill' },
    { id: 'tokens', numRanks: to, role: 'decode' },
  ],
});

const mixed = (model: string, ...numRanks: [number, number]): Scene['cluster'] => ({
  model,
  set,
  instances: [
    { id: 'one', numRanks: numRanks[0] },
    { id: 'other', numRanks: numRanks[1] },
  ],
});

export const SCENES: readonly Scene[] = [
  {
    name: 'a stream whose prompt is computed apart, read in bulk',
    ...{ cluster: apart(GQA, 1, 2, 'off'), body: { ...GREEDY, stream: true }, moveAt: null },
  },
  {
    name: 'a whole answer whose prompt is computed apart, read layer by layer',
    ...{ cluster: apart(MLA, 2, 1, 'on'), body: DRAWN, moveAt: null },
  },
  {
    name: 'a stream that moves',
    ...{ cluster: mixed(MLA, 2, 1), body: { ...DRAWN, stream: true }, moveAt: 3 },
  },
  {
    name: 'a whole answer that moves before its first token',
    ...{ cluster: mixed(GQA, 1, 2), body: { ...GREEDY, max_tokens: 8 }, moveAt: 0 },
  },
];
