/** From options to a load that can run: what the server is like, what is asked of it, and that it answers at all. */
import { checkBytes } from '../../lib/commands/base/numbers.js';
import type { OpenAiClient } from './client/openai_client.js';
import type { Answered } from './client/outcome.js';
import { requestBody, type BodyOptions } from './client/request_body.js';
import { servedModel, tokensPerWord } from './client/server_facts.js';
import { makeDataset } from './datasets/make_dataset.js';
import { arrivalTimes } from './load/arrivals.js';
import type { Prompt } from './load/conversation.js';
import { ServeBenchError } from './load/errors.js';
import { tokenPrompts, wordPrompts, type PromptMaker } from './load/prompt_maker.js';
import { streamOf } from './load/streams.js';
import type { ServeOptions } from './options.js';
import type { LoadPlan } from './run_load.js';

/** A load, and what the report says of how it was made. */
export interface PreparedLoad {
  readonly plan: LoadPlan;
  readonly model: string;
  readonly notes: readonly string[];
}

/** Where a server doesn't tell: what one makes of common words. */
const USUAL_TOKENS_PER_WORD = 1.3;

/** Asks the server what it is, warms it up with prompts of their own, and makes the load. @throws ServeBenchError */
export async function prepareLoad(options: ServeOptions, client: OpenAiClient): Promise<PreparedLoad> {
  const { model, maxModelLen } = await servedModel(client, options.url.href.replace(/\/$/, ''), options.model);
  const asking = await askingFor(options, client, model);
  const { numPrompts, seed } = options;
  const dataset = await makeDataset(options.dataset, { numPrompts, seed, make: asking.make, maxModelLen });
  const { conversations } = dataset;
  if (conversations.length === 0)
    throw new ServeBenchError(
      'BAD_DATASET',
      `no request fits the server's context of ${maxModelLen} tokens; lower --input-len or --output-len`,
    );
  const { arrivalsMs, note } = arrivalsOf(options, conversations);
  checkBytes(
    'the prompts of the load',
    conversations.reduce((sum, { turns }) => sum + 10 * sizeOf(turns[0]!.said), 0),
  );
  return {
    model,
    notes: [...dataset.notes, ...asking.notes, note],
    plan: { conversations, arrivalsMs, maxConcurrency: options.maxConcurrency, bodyOf: asking.bodyOf },
  };
}

/** How prompts are made and asked; found out with the warm-ups, of which the first shows whether the server answers. */
interface Asking {
  readonly make: PromptMaker;
  readonly bodyOf: LoadPlan['bodyOf'];
  readonly notes: readonly string[];
}

async function askingFor(options: ServeOptions, client: OpenAiClient, model: string): Promise<Asking> {
  const { seed, vocabSize, endpoint, dataset, prompts } = options;
  const bodyOptions = bodyOptionsOf(options, model);
  const wantsIds = dataset.kind === 'turns' && endpoint === 'completions' && prompts !== 'text';
  const isText = endpoint === 'chat' || prompts === 'text' || dataset.kind === 'file';
  if (!isText) {
    const asking = {
      make: tokenPrompts(seed, vocabSize),
      bodyOf: bodyMaker({ ...bodyOptions, wantsTokenIds: wantsIds }),
      notes: [],
    };
    const answer = await warmUp(options, client, asking);
    if (!wantsIds || answer.tokenIds !== null) return asking;
  }
  const perWord = await tokensPerWord(client, model);
  const note = `prompts are text, ${(perWord ?? USUAL_TOKENS_PER_WORD).toFixed(2)} tokens per word as ${perWord === null ? 'usual' : 'the server counts'}: lengths are about those asked for`;
  const make = wordPrompts(seed, perWord ?? USUAL_TOKENS_PER_WORD, endpoint === 'chat' ? 'messages' : 'text');
  const asking = { make, bodyOf: bodyMaker(bodyOptions), notes: dataset.kind === 'file' ? [] : [note] };
  await warmUp(options, client, asking);
  return asking;
}

const bodyOptionsOf = ({ endpoint, temperature, ignoreEos, extraBody }: ServeOptions, model: string): BodyOptions => ({
  ...{ endpoint, model, temperature, ignoreEos, wantsTokenIds: false, extra: extraBody },
});

const bodyMaker =
  (options: BodyOptions): LoadPlan['bodyOf'] =>
  (prompt, maxTokens) =>
    requestBody(prompt, maxTokens, options);

/** Short requests, which share nothing with the load. Returns the first answer. @throws ServeBenchError PROBE_FAILED */
async function warmUp({ numWarmups }: ServeOptions, client: OpenAiClient, { make, bodyOf }: Asking): Promise<Answered> {
  const ask = async (index: number): Promise<Answered> => {
    const prompt = make([{ stream: streamOf('warm-ups', index), numTokens: 8 }]);
    const { answer, failure } = await client.complete(bodyOf(prompt, 8));
    if (failure === null) return answer;
    throw new ServeBenchError(
      'PROBE_FAILED',
      `the first request failed (${failure.kind}: ${failure.reason}); see what the server wants`,
    );
  };
  const first = await ask(0);
  for (let i = 1; i < numWarmups; i++) await ask(i);
  return first;
}

function arrivalsOf(
  options: ServeOptions,
  conversations: LoadPlan['conversations'],
): { arrivalsMs: number[]; note: string } {
  const { arrivals, isRateGiven, maxConcurrency } = options;
  const limit = maxConcurrency === Infinity ? '' : `, at most ${maxConcurrency} at a time`;
  const own = conversations.map(({ atMs }) => atMs).filter((atMs) => atMs !== null);
  if (!isRateGiven && own.length === conversations.length) {
    return { arrivalsMs: own, note: `arrivals: those of the trace over ${(own.at(-1)! / 1000).toFixed(1)} s${limit}` };
  }
  const { requestRate, burstiness } = arrivals;
  const how = requestRate === Infinity ? 'all at once' : `${requestRate} per second, burstiness ${burstiness}`;
  return { arrivalsMs: arrivalTimes(conversations.length, arrivals), note: `arrivals: ${how}${limit}` };
}

function sizeOf(prompt: Prompt): number {
  switch (prompt.kind) {
    case 'tokens':
      return prompt.tokenIds.length;
    case 'text':
      return prompt.text.length;
    case 'messages':
      return prompt.messages.reduce((sum, { content }) => sum + content.length, 0);
  }
}
