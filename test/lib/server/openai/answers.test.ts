import { expect } from 'chai';
import type { GenerationRequest, TokenEvent } from '../../../../lib/protocol/request.js';
import { finishedEvent, logprobsOf, playEvents, tokenEvent } from '../../../kit/server/played_engine.js';
import { framesOf, playedEngine, post, servedApp } from '../../../kit/server/served_app.js';

/** Of the demo model: 'Call me' is [0, 36, 442, 415]; 13 is ',', 280 ' and', 319 ' I'. */
const PROMPT = 'Call me';
const CHAT = { messages: [{ role: 'user', content: PROMPT }] };

const twoTokens: readonly TokenEvent[] = [
  tokenEvent(13, ',', { logprobs: logprobsOf(13, 280), routedExperts: [[[1, 2]], [[3, 4]]] }),
  tokenEvent(280, '', { logprobs: logprobsOf(280, 319), routedExperts: [[[5, 6]]] }),
  finishedEvent({
    reason: 'stop',
    stoppedBy: '!',
    text: ' and',
    numCachedTokens: 3,
    routedExperts: [[[1, 2]], [[3, 4]], [[5, 6]]],
  }),
];

const serve = async (...events: readonly (TokenEvent | Error)[]) =>
  servedApp({ engine: await playedEngine(playEvents(...(events.length > 0 ? events : twoTokens))) });

const withoutNames = (answer: unknown): unknown => {
  const { id, created, created_at, completed_at, ...rest } = answer as Record<string, unknown>;
  expect(id ?? created ?? created_at ?? completed_at).not.to.equal(undefined);
  return rest;
};

const USAGE = {
  prompt_tokens: 4,
  completion_tokens: 2,
  total_tokens: 6,
  prompt_tokens_details: { cached_tokens: 3 },
};

describe('completions', () => {
  it('whole: text, why it ended, and what it took', async () => {
    const { app } = await serve();
    const answer = await post(app, '/v1/completions', { prompt: PROMPT });
    expect(withoutNames(answer.json())).to.deep.equal({
      object: 'text_completion',
      model: 'moe-7m',
      choices: [{ index: 0, text: ', and', logprobs: null, finish_reason: 'stop', stop_reason: '!' }],
      usage: USAGE,
    });
  });

  it('with log-probabilities, as lists side by side', async () => {
    const { app } = await serve();
    const answer = await post(app, '/v1/completions', { prompt: PROMPT, logprobs: 2 });
    expect(answer.json<{ choices: { logprobs: unknown }[] }>().choices[0]!.logprobs).to.deep.equal({
      text_offset: [0, 1],
      token_logprobs: [-1, -1],
      tokens: [',', ' and'],
      top_logprobs: [
        { ',': -1, ' and': -2 },
        { ' and': -1, ' I': -2 },
      ],
    });
  });

  it('with echo, the prompt and its log-probabilities come first', async () => {
    const prompt: TokenEvent = {
      kind: 'prompt',
      text: '',
      logprobs: [null, logprobsOf(36, 13), logprobsOf(442, 13), { logprob: -Infinity, rank: 9, top: [] }],
    };
    const { app, engine } = await serve(prompt, ...twoTokens);
    const answer = await post(app, '/v1/completions', { prompt: PROMPT, echo: true, logprobs: 1 });
    expect(engine.requests[0]!.promptLogprobs).to.equal(1);
    const [choice] = answer.json<{ choices: { text: string; logprobs: Record<string, unknown[]> }[] }>().choices;
    expect(choice!.text).to.equal('Call me, and');
    const { tokens, token_logprobs: logprobs, top_logprobs: top, text_offset: offsets } = choice!.logprobs;
    expect(tokens).to.deep.equal(['<|begin|>', 'C', 'all', ' me', ',', ' and']);
    expect(logprobs).to.deep.equal([null, -1, -1, -9999, -1, -1]);
    expect(top!.slice(0, 4)).to.deep.equal([null, { C: -1 }, { all: -1 }, { ' me': -9999 }]);
    expect(offsets).to.deep.equal([0, 9, 10, 13, 16, 17]);
  });

  it('with max_tokens 0 and echo, the prompt alone', async () => {
    const { app, engine } = await serve(finishedEvent({ reason: 'length' }));
    const answer = await post(app, '/v1/completions', { prompt: PROMPT, echo: true, max_tokens: 0 });
    const [{ maxNewTokens, promptLogprobs }] = engine.requests as [GenerationRequest];
    expect([maxNewTokens, promptLogprobs]).to.deep.equal([0, 0]);
    const { choices, usage } = answer.json<{ choices: object[]; usage: { completion_tokens: number } }>();
    expect(choices).to.deep.equal([
      { index: 0, text: PROMPT, logprobs: null, finish_reason: 'length', stop_reason: null },
    ]);
    expect(usage.completion_tokens).to.equal(0);
  });

  it('with max_tokens 0 and echo, also where the prompt fills the context', async () => {
    const { app, engine } = await serve(finishedEvent({ reason: 'length' }));
    const prompt = Array<number>(engine.limits.maxModelLen).fill(13);
    const answer = await post(app, '/v1/completions', { prompt, echo: true, max_tokens: 0, logprobs: 1 });
    expect(answer.statusCode).to.equal(200);
    expect(
      (await post(app, '/v1/completions', { prompt: [...prompt, 13], echo: true, max_tokens: 0 })).statusCode,
    ).to.equal(400);
  });

  it("of n samples the first alone asks for the prompt's log-probabilities, and all tell them", async () => {
    const prompt: TokenEvent = { kind: 'prompt', text: '', logprobs: [null, logprobsOf(2)] };
    const engine = await playedEngine((request, signal) =>
      playEvents(...(request.promptLogprobs === undefined ? twoTokens : [prompt, ...twoTokens]))(request, signal),
    );
    const { app } = await servedApp({ engine });
    const fields = {
      prompt: [
        [1, 2],
        [1, 2],
      ],
      n: 2,
      echo: true,
      logprobs: 1,
    };
    const answer = await post(app, '/v1/completions', fields);
    expect(engine.requests.map(({ promptLogprobs }) => promptLogprobs)).to.deep.equal([1, undefined, 1, undefined]);
    const { choices } = answer.json<{ choices: { logprobs: { token_logprobs: unknown } }[] }>();
    expect(choices.map(({ logprobs }) => logprobs.token_logprobs)).to.deep.equal(Array(4).fill([null, -1, -1, -1]));
  });

  it('with tokens, experts and prompt_logprobs where they are asked for', async () => {
    const prompt: TokenEvent = { kind: 'prompt', text: '', logprobs: [null, logprobsOf(2), logprobsOf(3)] };
    const { app } = await serve(prompt, ...twoTokens);
    const wanted = {
      return_token_ids: true,
      return_routed_experts: true,
      prompt_logprobs: 1,
      return_tokens_as_token_ids: true,
    };
    const answer = await post(app, '/v1/completions', { prompt: [1, 2, 3], ...wanted });
    expect(answer.json<{ choices: object[] }>().choices[0]).to.deep.include({
      token_ids: [13, 280],
      prompt_token_ids: [1, 2, 3],
      routed_experts: [[[1, 2]], [[3, 4]], [[5, 6]]],
      prompt_logprobs: [
        null,
        { 2: { logprob: -1, rank: 1, decoded_token: 'token_id:2' } },
        { 3: { logprob: -1, rank: 1, decoded_token: 'token_id:3' } },
      ],
    });
  });

  it('with router logits where they are asked for: base64 of float32, whole or streamed, of one choice', async () => {
    const layers = [Float32Array.of(1, -2.5), Float32Array.of(0.1, 3)];
    const [first, last] = twoTokens.filter((event) => event.kind === 'token');
    const { app, engine } = await serve(
      { ...first!, routerLogits: [layers, null] },
      { ...last!, routerLogits: [layers] },
      ...twoTokens.slice(2),
    );
    const text = Buffer.from(Float32Array.of(1, -2.5, 0.1, 3).buffer).toString('base64');
    const fields = { prompt: PROMPT, return_router_logits: 0.5 };
    const whole = await post(app, '/v1/completions', fields);
    expect(whole.json<{ choices: object[] }>().choices[0]).to.deep.include({ router_logits: [text, null, text] });
    expect(engine.requests[0]!.returnRouterLogits).to.equal(0.5);
    const frames = framesOf(await post(app, '/v1/completions', { ...fields, stream: true }));
    const pieces = frames.slice(0, -1) as { choices: { router_logits?: unknown[] }[] }[];
    expect(pieces.flatMap(({ choices }) => choices[0]!.router_logits ?? [])).to.deep.equal([text, null, text]);
    const several = await post(app, '/v1/completions', { ...fields, n: 2 });
    expect(several.statusCode).to.equal(400);
    expect(several.body).to.contain('return_router_logits is for one choice, and there are 2; send them one by one');
    const wrong = await post(app, '/v1/completions', { ...fields, return_router_logits: 2 });
    expect(wrong.body).to.contain('give true, false, or a share of the tokens');
  });

  it('streamed: a piece for each token, the end with the last one, then the usage, then [DONE]', async () => {
    const { app } = await serve();
    const fields = {
      prompt: PROMPT,
      stream: true,
      stream_options: { include_usage: true },
      return_routed_experts: true,
    };
    const answer = await post(app, '/v1/completions', fields);
    expect(answer.headers['content-type']).to.match(/^text\/event-stream/);
    const frames = framesOf(answer);
    expect(frames.pop()).to.equal('[DONE]');
    const head = { object: 'text_completion', model: 'moe-7m' };
    const piece = { index: 0, logprobs: null, finish_reason: null, stop_reason: null };
    const [first, last] = [[[[1, 2]], [[3, 4]]], [[[5, 6]]]];
    expect(frames.map(withoutNames)).to.deep.equal([
      { ...head, choices: [{ ...piece, text: ',', routed_experts: first }] },
      { ...head, choices: [{ ...piece, text: ' and', finish_reason: 'stop', stop_reason: '!', routed_experts: last }] },
      { ...head, choices: [], usage: USAGE },
    ]);
    expect(new Set(frames.map((frame) => (frame as { id: string }).id)).size).to.equal(1);
  });

  it('streamed with log-probabilities, offsets go on', async () => {
    const { app } = await serve();
    const answer = await post(app, '/v1/completions', { prompt: PROMPT, stream: true, logprobs: 0 });
    const offsets = framesOf(answer).slice(0, 2) as { choices: { logprobs: { text_offset: number[] } }[] }[];
    expect(offsets.map(({ choices }) => choices[0]!.logprobs.text_offset)).to.deep.equal([[0], [1]]);
  });

  it('streamed with continuous usage, every piece says what it took so far', async () => {
    const { app } = await serve();
    const fields = {
      prompt: PROMPT,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    };
    const frames = framesOf(await post(app, '/v1/completions', fields)).slice(0, -1);
    const counts = frames.map((frame) => (frame as { usage: { completion_tokens: number } }).usage.completion_tokens);
    expect(counts).to.deep.equal([1, 2, 2]);
  });

  it('streamed with continuous usage alone, no piece says it, as in vLLM', async () => {
    const { app } = await serve();
    const stream_options = { continuous_usage_stats: true };
    for (const [url, asked] of [
      ['/v1/completions', { prompt: PROMPT }],
      ['/v1/chat/completions', CHAT],
    ] as const) {
      const answer = await post(app, url, { ...asked, stream: true, stream_options });
      expect(answer.body).not.to.include('"usage"');
    }
  });

  it('of several choices, each piece names its own', async () => {
    const { app } = await serve();
    const answer = await post(app, '/v1/completions', { prompt: ['a', 'b'], n: 2, stream: true });
    const texts = ['', '', '', ''];
    for (const frame of framesOf(answer)) {
      if (frame === '[DONE]') continue;
      for (const { index, text } of (frame as { choices: { index: number; text: string }[] }).choices)
        texts[index] = texts[index]! + text;
    }
    expect(texts).to.deep.equal([', and', ', and', ', and', ', and']);
  });
});

describe('chats', () => {
  it('whole: a message', async () => {
    const { app } = await serve();
    const answer = await post(app, '/v1/chat/completions', { ...CHAT, logprobs: true, top_logprobs: 2 });
    const rated = (token: string, logprob: number): object => ({ token, logprob, bytes: [...Buffer.from(token)] });
    expect(withoutNames(answer.json())).to.deep.equal({
      object: 'chat.completion',
      model: 'moe-7m',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: ', and', refusal: null },
          logprobs: {
            content: [
              { ...rated(',', -1), top_logprobs: [rated(',', -1), rated(' and', -2)] },
              { ...rated(' and', -1), top_logprobs: [rated(' and', -1), rated(' I', -2)] },
            ],
            refusal: null,
          },
          finish_reason: 'stop',
          stop_reason: '!',
        },
      ],
      usage: USAGE,
    });
  });

  it('streamed: who speaks, then the text, then [DONE]', async () => {
    const { app } = await serve();
    const answer = await post(app, '/v1/chat/completions', { ...CHAT, stream: true });
    const frames = framesOf(answer);
    expect(frames.pop()).to.equal('[DONE]');
    const choices = frames.map(
      (frame) => (frame as { choices: { delta: object; finish_reason: string | null }[] }).choices[0]!,
    );
    expect(choices.map(({ delta }) => delta)).to.deep.equal([
      { role: 'assistant', content: '' },
      { content: ',' },
      { content: ' and' },
    ]);
    expect(choices.at(-1)!.finish_reason).to.equal('stop');
  });

  it('a token that is no whole character is told by its bytes', async () => {
    const { app, engine } = await serve();
    const [first] = engine.tokenizer!.encode('€', { addSpecialTokens: false });
    const { app: again } = await serve(tokenEvent(first!, '', { logprobs: logprobsOf(first!) }), finishedEvent());
    const answer = await post(again, '/v1/chat/completions', { ...CHAT, logprobs: true });
    const [content] = answer.json<{ choices: { logprobs: { content: { token: string; bytes: number[] }[] } }[] }>()
      .choices;
    expect(content!.logprobs.content[0]).to.include({ token: 'bytes:\\xe2' });
    expect(content!.logprobs.content[0]!.bytes).to.deep.equal([0xe2]);
    expect(app).not.to.equal(again);
  });

  it('parts of text are joined, and the template sees the tools', async () => {
    const { app, engine } = await serve();
    const content = [
      { type: 'text', text: 'Call' },
      { type: 'text', text: 'me' },
    ];
    await post(app, '/v1/chat/completions', { messages: [{ role: 'user', content }] });
    expect(engine.tokenizer!.decode([...engine.requests[0]!.promptTokenIds])).to.equal('Call\nme\n');
  });
});

describe('responses', () => {
  it('whole: one message of text', async () => {
    const { app } = await serve();
    const answer = await post(app, '/v1/responses', { input: PROMPT, instructions: 'Be kind', metadata: { a: 'b' } });
    const body = answer.json<Record<string, unknown>>();
    expect(body).to.deep.include({
      object: 'response',
      status: 'completed',
      instructions: 'Be kind',
      metadata: { a: 'b' },
      incomplete_details: null,
      error: null,
    });
    expect((body.output as { content: object[] }[])[0]!.content).to.deep.equal([
      { type: 'output_text', text: ', and', annotations: [], logprobs: [] },
    ]);
    expect(body.usage).to.deep.include({ output_tokens: 2, input_tokens_details: { cached_tokens: 3 } });
  });

  it('streamed: OpenAI’s events in their order, numbered', async () => {
    const { app } = await serve();
    const answer = await post(app, '/v1/responses', { input: PROMPT, stream: true });
    const frames = framesOf(answer) as { event: string; data: { type: string; sequence_number: number } }[];
    expect(frames.map(({ event }) => event)).to.deep.equal([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(frames.map(({ data }) => data.sequence_number)).to.deep.equal([...frames.keys()]);
    expect(frames.map(({ data }) => data.type)).to.deep.equal(frames.map(({ event }) => event));
  });

  it('that reach max_output_tokens are incomplete', async () => {
    const { app } = await serve(tokenEvent(13, ','), finishedEvent({ reason: 'length' }));
    const answer = await post(app, '/v1/responses', { input: PROMPT, max_output_tokens: 1 });
    expect(answer.json()).to.deep.include({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
    });
    const streamed = framesOf(await post(app, '/v1/responses', { input: PROMPT, max_output_tokens: 1, stream: true }));
    expect((streamed.at(-1) as { event: string }).event).to.equal('response.incomplete');
  });
});

describe('tokens', () => {
  it('of a text, with and without what the model expects around it', async () => {
    const { app } = await serve();
    const answer = await post(app, '/tokenize', { prompt: PROMPT, return_token_strs: true });
    expect(answer.json()).to.deep.equal({
      count: 4,
      max_model_len: 512,
      tokens: [0, 36, 442, 415],
      token_strs: ['<|begin|>', 'C', 'all', 'Ġme'],
    });
    const bare = await post(app, '/tokenize', { prompt: PROMPT, add_special_tokens: false });
    expect(bare.json()).to.deep.include({ count: 3, token_strs: null });
  });

  it('of a conversation, and back', async () => {
    const { app } = await serve();
    const { tokens } = (await post(app, '/tokenize', CHAT)).json<{ tokens: number[] }>();
    expect((await post(app, '/detokenize', { tokens })).json()).to.deep.equal({ prompt: 'Call me\n' });
  });
});

describe('the model', () => {
  it('is told by a name with slashes in it, as it stands or encoded', async () => {
    const { app } = await servedApp({ base: { server: { served_model_name: 'org/name' } } });
    const statusOf = async (name: string): Promise<number> => (await app.inject(`/v1/models/${name}`)).statusCode;
    expect((await app.inject('/v1/models/org/name')).json()).to.include({ id: 'org/name' });
    expect([await statusOf('org%2Fname'), await statusOf('org/other'), await statusOf('name')]).to.deep.equal([
      200, 404, 404,
    ]);
  });
});

describe('openapi.json', () => {
  it('has every endpoint with its fields', async () => {
    const { app } = await serve();
    const document = (await app.inject('/openapi.json')).json<{ openapi: string; paths: Record<string, object> }>();
    expect(document.openapi).to.match(/^3\./);
    expect(document.paths).to.include.keys(
      ...['/v1/models', '/v1/models/{model}', '/v1/completions', '/v1/chat/completions', '/v1/responses'],
      ...['/tokenize', '/detokenize', '/health', '/ping', '/version', '/reset_prefix_cache'],
    );
    expect(JSON.stringify(document.paths['/v1/completions'])).to.include('"stop_token_ids"');
  });
});
