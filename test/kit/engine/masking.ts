/** Jobs in one process that lose ranks, and what their requests tell. */
import { expect } from 'chai';
import type { GenerationRequest, TokenEvent } from '../../../lib/protocol/request.js';
import { tinyGolden } from '../model/goldens.js';
import { startLocalEngine, type Fault, type LocalEngine, type LocalEngineOptions } from './local_engine.js';
import { tinyModel } from '../paths.js';
import { replicated } from './placements.js';
import type { MlaForm } from '../../../lib/model/spec/spec.js';

const MODEL = 'tiny-deepseek-v3';
const GOLDEN = tinyGolden(MODEL);
/** The golden prompt. */
export const PROMPT = GOLDEN.prompt_token_ids;
/** Prompts that differ, one for each sequence of a batch. */
export const PROMPTS = [PROMPT, PROMPT.slice(0, 7), PROMPT.slice(3, 20), PROMPT.slice(5, 9)];
/** Tokens that each request asks for. */
export const NUM_NEW = 10;
/** The first MoE layer. */
export const LAYER = 1;

/** Closes the engine whatever happens. */
export async function withLocalEngine<T>(
  options: LocalEngineOptions,
  use: (local: LocalEngine) => Promise<T>,
): Promise<T> {
  const local = await startLocalEngine(tinyModel(MODEL), options);
  try {
    return await use(local);
  } finally {
    await local.close();
  }
}

/** What the events of a request told. */
export interface Story {
  readonly tokenIds: readonly number[];
  readonly kinds: readonly string[];
  readonly routedExperts: readonly (readonly (readonly number[])[])[];
  readonly numDegradedTokens: number;
}

/** The whole story of one request. */
export async function generate({ engine }: LocalEngine, request: Partial<GenerationRequest>): Promise<Story> {
  const events: TokenEvent[] = [];
  const defaults = { promptTokenIds: PROMPT, maxNewTokens: NUM_NEW, ignoreEos: true, returnRoutedExperts: true };
  for await (const event of engine.generate({ ...defaults, ...request })) events.push(event);
  const last = events.at(-1) as Extract<TokenEvent, { kind: 'finished' }>;
  const tokenIds = events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []));
  const { routedExperts, numDegradedTokens } = last;
  return { tokenIds, kinds: events.map(({ kind }) => kind), routedExperts: routedExperts!, numDegradedTokens };
}

/** One sequence per prompt: greedy ones and ones whose samples and penalties see the whole history. */
export const batch = (local: LocalEngine): Promise<Story[]> =>
  Promise.all(
    PROMPTS.map((promptTokenIds, i) =>
      generate(local, {
        promptTokenIds,
        ...(i % 2 === 1 && { sampling: { temperature: 1.5, repetitionPenalty: 1.3, seed: 11, choice: i } }),
      }),
    ),
  );

/** Ranks of each loss, in order. */
export const lostOf = ({ losses }: LocalEngine): number[][] => losses.map(({ lost }) => lost.map(({ rank }) => rank));

/** What every prompt gives where no rank is lost. */
export async function undisturbedBatch(mla: MlaForm): Promise<Story[]> {
  const stories = await withLocalEngine({ mla, numRanks: 3, placement: replicated(2) }, batch);
  expect(stories[0]!.tokenIds).to.deep.equal(GOLDEN.greedy_token_ids.slice(0, NUM_NEW));
  for (const story of stories) expect(story.kinds).to.deep.equal([...story.tokenIds.map(() => 'token'), 'finished']);
  return stories;
}

/** A rank is killed when this many of its peers have its frame of a phase. Default: in step 4, in the first MoE layer. */
export const frame = (
  rank: number,
  phase: 'dispatch' | 'combine',
  numSent: number,
  step = 4,
  layer = LAYER,
): Fault => ({
  rank,
  at: { kind: 'frame', step, layer, phase, numSent },
});
