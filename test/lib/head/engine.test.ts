import { expect } from 'chai';
import { loadConfig } from '../../../lib/config/load.js';
import { Engine } from '../../../lib/head/engine.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { GenerationRequest, TokenEvent } from '../../../lib/protocol/request.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const PROMPT = [85, 75, 29, 78, 87, 39, 55, 19];

const start = async (overrides: readonly string[] = []): Promise<Engine> => {
  const base = { model: tinyModel('tiny-deepseek-v3'), parallel: { ranks: 2 } };
  return Engine.start({ config: await loadConfig({ base, overrides: [...overrides] }) });
};

const eventsOf = async (
  engine: Engine,
  request: Partial<GenerationRequest>,
  signal?: AbortSignal,
): Promise<TokenEvent[]> => {
  const events: TokenEvent[] = [];
  const full = { promptTokenIds: PROMPT, maxNewTokens: 8, ignoreEos: true, ...request };
  for await (const event of engine.generate(full, signal)) events.push(event);
  return events;
};

const tokensOf = (events: readonly TokenEvent[]): number[] =>
  events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []));

describe('the engine', function () {
  this.timeout(60_000);
  let engine: Engine;
  before(async () => {
    // Room for two sequences of at most 32 tokens per rank.
    engine = await start(['engine.max_num_seqs=2', 'engine.num_kv_blocks=4', 'engine.max_model_len=32']);
  });
  after(() => engine.close());

  it('serves more requests than have room at once, each as if it were alone', async () => {
    const alone = tokensOf(await eventsOf(engine, {}));
    const all = await Promise.all(Array.from({ length: 9 }, () => eventsOf(engine, {})));
    for (const events of all) expect(tokensOf(events)).to.deep.equal(alone);
  });

  it('ends with length after max_new_tokens and with stop at an end-of-sequence token', async () => {
    const events = await eventsOf(engine, { maxNewTokens: 3 });
    expect(events.map(({ kind }) => kind)).to.deep.equal(['token', 'token', 'token', 'finished']);
    expect(events.at(-1)).to.include({ reason: 'length' });
    // The model's end-of-sequence token is 1: flat sampling comes upon it within some seeds.
    const sampled = (seed: number, ignoreEos: boolean): Promise<TokenEvent[]> =>
      eventsOf(engine, { maxNewTokens: 24, ignoreEos, sampling: { temperature: 50, seed } });
    let seed = 0;
    while (
      !tokensOf(await sampled(seed, true))
        .slice(0, -1)
        .includes(1)
    )
      expect(++seed).to.be.below(60);
    const all = tokensOf(await sampled(seed, true));
    const ended = await sampled(seed, false);
    expect(all).to.have.length(24);
    expect(tokensOf(ended)).to.deep.equal(all.slice(0, all.indexOf(1) + 1));
    expect(ended.at(-1)).to.include({ reason: 'stop' });
  });

  it('lets come what is allowed, and ends no sooner than asked', async () => {
    const sampling = { allowedTokenIds: [1, 7, 8], logitBias: [[1, 100]], minTokens: 3 } as const;
    const events = await eventsOf(engine, { ignoreEos: false, sampling });
    expect(
      tokensOf(events)
        .slice(0, 3)
        .every((token) => [7, 8].includes(token)),
    ).to.equal(true);
    expect(tokensOf(events).slice(3)).to.deep.equal([1]);
    expect(events.at(-1)).to.include({ reason: 'stop', stoppedBy: null });
    const [stop] = tokensOf(events);
    const stopped = await eventsOf(engine, { sampling: { ...sampling, logitBias: [] }, stopTokenIds: [stop!] });
    expect(tokensOf(stopped).slice(0, 3)).to.not.include(stop);
    // Ends that are ignored may not come early either.
    const ignored = tokensOf(await eventsOf(engine, { ignoreEos: true, sampling }));
    expect(ignored.slice(0, 3)).to.deep.equal(tokensOf(events).slice(0, 3));
    expect(ignored.slice(3)).to.deep.equal([1, 1, 1, 1, 1]);
  });

  it('tells at the end how much of a prompt was in the cache', async () => {
    const other = await start(['engine.block_size=4', 'engine.max_num_seqs=2', 'parallel.ranks=1']);
    try {
      const cached: number[] = [];
      for await (const event of other.generate({ promptTokenIds: PROMPT, maxNewTokens: 9, ignoreEos: true })) {
        if (event.kind === 'finished') cached.push(event.numCachedTokens);
        if (cached.length > 0 || event.kind !== 'token') continue;
        const beside = (await eventsOf(other, { maxNewTokens: 1 })).at(-1)!;
        if (beside.kind === 'finished') cached.push(beside.numCachedTokens);
      }
      expect(cached).to.deep.equal([4, 0]); // one of them has to be computed: the second block isn't shared
    } finally {
      await other.close();
    }
  });

  it('reports the experts of every token that was computed', async () => {
    const events = await eventsOf(engine, { returnRoutedExperts: true });
    const last = events.at(-1)!;
    const { routedExperts } = last as Extract<TokenEvent, { kind: 'finished' }>;
    expect(routedExperts).to.have.length(PROMPT.length + 8 - 1);
    for (const layers of routedExperts!) {
      expect(layers).to.have.length(2);
      for (const experts of layers) expect(new Set(experts).size).to.equal(4);
    }
  });

  it('draws a seed where none is given, reports it, and gives the same tokens for it again', async () => {
    const events = await eventsOf(engine, { sampling: { temperature: 1 } });
    const { seed } = events.at(-1) as Extract<TokenEvent, { kind: 'finished' }>;
    expect(tokensOf(await eventsOf(engine, { sampling: { temperature: 1, seed } }))).to.deep.equal(tokensOf(events));
    expect(tokensOf(await eventsOf(engine, { sampling: { temperature: 1, seed: seed + 1 } }))).to.not.deep.equal(
      tokensOf(events),
    );
  });

  it('a cancelled request ends with CLOSED and leaves the others and their room alone', async () => {
    const caller = new AbortController();
    const cancelled = errorOf(EngineError, async () => {
      for await (const event of engine.generate(
        { promptTokenIds: PROMPT, maxNewTokens: 20, ignoreEos: true },
        caller.signal,
      )) {
        if (event.kind === 'token') caller.abort();
      }
    });
    const others = await Promise.all(Array.from({ length: 5 }, () => eventsOf(engine, {})));
    expect((await cancelled).code).to.equal('CLOSED');
    for (const events of others) expect(tokensOf(events)).to.have.length(8);
    const early = await errorOf(EngineError, () => eventsOf(engine, {}, AbortSignal.abort()));
    expect(early.code).to.equal('CLOSED');
  });

  it('an aborted request computes no further, even when nobody asks for its next event', async () => {
    const caller = new AbortController();
    const request = { promptTokenIds: PROMPT, maxNewTokens: 20, ignoreEos: true };
    const events = engine.generate(request, caller.signal);
    await events.next();
    caller.abort();
    const { numOutputTokens } = engine.stats();
    await eventsOf(engine, {}); // shares its first step at most
    expect(engine.stats().numOutputTokens - numOutputTokens).to.be.at.most(8 + 1);
    await errorOf(EngineError, () => events.next());
  });

  it('scores, and gives a score up when its caller does', async () => {
    const { logprobs, routedExperts, perplexity } = await engine.score({ tokenIds: PROMPT });
    expect(logprobs).to.have.length(PROMPT.length - 1);
    expect(routedExperts).to.have.length(PROMPT.length);
    expect(perplexity).to.be.closeTo(Math.exp(-logprobs.reduce((a, b) => a + b, 0) / logprobs.length), 1e-9);
    const error = await errorOf(EngineError, () => engine.score({ tokenIds: PROMPT }, AbortSignal.abort()));
    expect(error.code).to.equal('CLOSED');
  });

  it('several scores with logits at once share the budget of a step', async () => {
    const alone: number[] = [];
    await engine.score({ tokenIds: PROMPT, onLogits: (logits) => void alone.push(...logits) });
    const all = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const own: number[] = [];
        await engine.score({ tokenIds: PROMPT, onLogits: (logits) => void own.push(...logits) });
        return own;
      }),
    );
    for (const own of all) expect(own).to.deep.equal(alone);
  });

  it('a caller that stops iterating gives its room back', async () => {
    for (let i = 0; i < 6; i++) {
      for await (const event of engine.generate({ promptTokenIds: PROMPT, maxNewTokens: 20, ignoreEos: true })) {
        if (event.kind === 'token') break;
      }
    }
    expect(tokensOf(await eventsOf(engine, {}))).to.have.length(8);
  });

  it('refuses what it can not run, with both numbers', async () => {
    const refusals: [Partial<GenerationRequest>, string, string][] = [
      [{ promptTokenIds: [] }, 'INVALID_REQUEST', 'prompt is empty'],
      [{ promptTokenIds: [96] }, 'INVALID_REQUEST', "token id 96 is outside the model's vocabulary 0 … 95"],
      [{ maxNewTokens: 0 }, 'INVALID_REQUEST', 'max_new_tokens is 0'],
      [
        { maxNewTokens: 25 },
        'CONTEXT_LENGTH_EXCEEDED',
        '8 prompt tokens and 25 new ones are 33, and the context has 32',
      ],
      [{ stop: ['.'] }, 'NO_TOKENIZER', 'no tokenizer'],
      [{ sampling: { topP: 0 } }, 'INVALID_REQUEST', 'top_p is 0'],
    ];
    for (const [request, code, words] of refusals) {
      const error = await errorOf(EngineError, () => eventsOf(engine, request));
      expect(error.code).to.equal(code);
      expect(error.message).to.contain(words);
    }
    const short = await errorOf(EngineError, () => engine.score({ tokenIds: [1] }));
    expect(short.code).to.equal('INVALID_REQUEST');
  });

  it('counts tokens, steps and loads', async () => {
    const before = engine.stats();
    await eventsOf(engine, {});
    const after = engine.stats();
    expect(after.numPromptTokens - before.numPromptTokens).to.equal(PROMPT.length);
    expect(after.numOutputTokens - before.numOutputTokens).to.equal(8);
    expect(after.numSteps - before.numSteps).to.equal(8);
    const total = (load: readonly Float64Array[]): number[] => load.map((load_E) => load_E.reduce((a, b) => a + b, 0));
    const routed = 4 * (PROMPT.length + 7);
    expect(total(after.expertLoad)).to.deep.equal(total(before.expertLoad).map((count) => count + routed));
    for (const value of after.balancedness) expect(value).to.be.within(0, 1);
  });

  it('close() ends running requests with CLOSED, and may be called again', async () => {
    const own = await start();
    const running = errorOf(EngineError, () => eventsOf(own, { maxNewTokens: 200 }));
    await own.close();
    expect((await running).code).to.equal('CLOSED');
    await own.close();
    const late = await errorOf(EngineError, () => eventsOf(own, {}));
    expect(late.code).to.equal('CLOSED');
  });
});
