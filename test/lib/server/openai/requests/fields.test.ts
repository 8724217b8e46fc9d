import { expect } from 'chai';
import { errorOf, post, servedApp } from '../../../../kit/server/served_app.js';

const CHAT = { messages: [{ role: 'user', content: 'Call me' }] };

describe('fields of requests', () => {
  it('reach the engine under its names', async () => {
    const { app, engine } = await servedApp();
    const fields = {
      ...{ prompt: 'Call me', max_tokens: 5, temperature: 0.5, top_p: 0.9, top_k: 7, min_p: 0.1, seed: 3 },
      ...{ repetition_penalty: 1.1, presence_penalty: 0.2, frequency_penalty: -0.3, logit_bias: { 5: 2, 6: -100 } },
      ...{ stop: ['a', 'b'], stop_token_ids: [9], min_tokens: 2, ignore_eos: true, include_stop_str_in_output: true },
      ...{ skip_special_tokens: false, logprobs: 2, prompt_logprobs: 1, priority: -1, allowed_token_ids: [5, 6] },
      ...{ return_routed_experts: true, request_id: 'mine', kv_pin_ms: 1500 },
    };
    expect((await post(app, '/v1/completions', fields)).statusCode).to.equal(200);
    expect(engine.requests).to.deep.equal([
      {
        promptTokenIds: [0, 36, 442, 415],
        maxNewTokens: 5,
        sampling: {
          ...{ temperature: 0.5, topP: 0.9, topK: 7, minP: 0.1, repetitionPenalty: 1.1, presencePenalty: 0.2 },
          frequencyPenalty: -0.3,
          logitBias: [
            [5, 2],
            [6, -100],
          ],
          ...{ allowedTokenIds: [5, 6], minTokens: 2, seed: 3, choice: 0 },
        },
        ...{ stop: ['a', 'b'], stopTokenIds: [9], ignoreEos: true, includeStop: true, skipSpecialTokens: false },
        ...{ logprobs: 2, promptLogprobs: 1, priority: -1, returnRoutedExperts: true, id: 'mine', pinMs: 1500 },
      },
    ]);
  });

  it('say how long keys and values stay, also under the name that OpenAI has for it', async () => {
    const { app, engine } = await servedApp();
    const asked = [
      { prompt_cache_retention: '24h' },
      { prompt_cache_retention: 'in_memory' },
      { prompt_cache_retention: '24h', kv_pin_ms: 5 },
    ];
    for (const fields of asked) await post(app, '/v1/completions', { prompt: [1], max_tokens: 1, ...fields });
    await post(app, '/v1/responses', { input: 'Call me', kv_pin_ms: 7 });
    expect(engine.requests.map(({ pinMs }) => pinMs)).to.deep.equal([86_400_000, undefined, 5, 7]);
  });

  it("default to vLLM's values, and the model's generation_config.json", async () => {
    const { app, engine } = await servedApp();
    await post(app, '/v1/completions', { prompt: [1, 2], top_k: -1, seed: null, stop: null });
    const { sampling, maxNewTokens, stop } = engine.requests[0]!;
    expect([maxNewTokens, stop]).to.deep.equal([16, []]);
    expect(sampling).to.include({ temperature: 0.8, topP: 0.95, topK: 0, minP: 0, repetitionPenalty: 1 });
    expect(sampling).not.to.have.property('seed');
  });

  it('a chat may have the rest of the context', async () => {
    const { app, engine } = await servedApp();
    await post(app, '/v1/chat/completions', CHAT);
    await post(app, '/v1/chat/completions', { ...CHAT, max_tokens: 7 });
    await post(app, '/v1/chat/completions', { ...CHAT, max_tokens: 7, max_completion_tokens: 5 });
    const numPrompt = engine.requests[0]!.promptTokenIds.length;
    expect(engine.requests.map(({ maxNewTokens }) => maxNewTokens)).to.deep.equal([512 - numPrompt, 7, 5]);
  });

  it('seed −1 is none, and other seeds under 0 are seeds, as in vLLM', async () => {
    const { app, engine } = await servedApp();
    for (const seed of [-1, -2, Number.MIN_SAFE_INTEGER]) await post(app, '/v1/completions', { prompt: 'x', seed });
    const seeds = engine.requests.map(({ sampling }) => sampling?.seed);
    expect(seeds).to.deep.equal([undefined, Number.MAX_SAFE_INTEGER - 1, 1]);
  });

  it('allowed_token_ids may be as many as the model has', async () => {
    const { app } = await servedApp();
    const allowed_token_ids = Array.from({ length: 5000 }, (_, i) => i);
    expect((await post(app, '/v1/completions', { prompt: 'x', allowed_token_ids })).statusCode).to.equal(200);
  });

  it('several prompts and n are a request each, with a stream of the seed for each sample', async () => {
    const { app, engine } = await servedApp();
    await post(app, '/v1/completions', { prompt: [[1], [2]], n: 2, seed: 5, request_id: 'r' });
    const asked = engine.requests.map(({ promptTokenIds, sampling, id }) => [promptTokenIds[0], sampling?.choice, id]);
    expect(asked).to.deep.equal([
      [1, 0, 'r-0'],
      [1, 1, 'r-1'],
      [2, 0, 'r-2'],
      [2, 1, 'r-3'],
    ]);
  });

  it('truncate_prompt_tokens keeps the last tokens', async () => {
    const { app, engine } = await servedApp();
    await post(app, '/v1/completions', { prompt: [1, 2, 3], truncate_prompt_tokens: 2 });
    expect(engine.requests[0]!.promptTokenIds).to.deep.equal([2, 3]);
  });

  it('unknown ones are ignored, as in vLLM', async () => {
    const { app } = await servedApp();
    const answer = await post(app, '/v1/completions', {
      prompt: 'x',
      no_such_field: 1,
      length_penalty: 2,
      service_tier: 'auto',
    });
    expect(answer.statusCode).to.equal(200);
  });
});

describe('what is wrong with a request is told by the name of the field', () => {
  const wrong: readonly (readonly [url: string, fields: object, param: string | null, code?: string])[] = [
    ...[{ temperature: -1 }, { temperature: 'hot' }, { top_p: 0 }, { top_p: 1.1 }, { top_k: -2 }, { top_k: 1.5 }].map(
      (fields) => ['/v1/completions', fields, Object.keys(fields)[0]!] as const,
    ),
    ...[{ min_p: 2 }, { seed: 0.5 }, { n: 0 }, { max_tokens: -1 }, { stop: '' }, { stop: [1] }, { logprobs: 21 }].map(
      (fields) => ['/v1/completions', fields, Object.keys(fields)[0]!] as const,
    ),
    ...[
      { presence_penalty: 3 },
      { repetition_penalty: 0 },
      { stream: 'yes' },
      { priority: 0.5 },
      { kv_pin_ms: 1e9 },
      { model: 5 },
    ].map((fields) => ['/v1/completions', fields, Object.keys(fields)[0]!] as const),
    ['/v1/completions', { logit_bias: { x: 1 } }, 'logit_bias.x'],
    ['/v1/completions', { logit_bias: { 5: 101 } }, 'logit_bias.5'],
    ['/v1/completions', { logit_bias: { 7: 1, '007': 1 } }, 'logit_bias.007'],
    [
      '/v1/completions',
      { logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, 1])) },
      'logit_bias',
    ],
    ['/v1/completions', { stop_token_ids: Array(1025).fill(5) }, 'stop_token_ids'],
    ['/v1/completions', { stop: Array.from({ length: 17 }, (_, i) => `${' '.repeat(1000)}${i}`) }, 'stop'],
    ['/v1/completions', { prompt: Array(500).fill(5), n: 256, prompt_logprobs: 20, max_tokens: 1 }, 'n'],
    ['/v1/chat/completions', { messages: [{ role: 'assistant', tool_calls: [null] }] }, 'messages.0.tool_calls.0'],
    ['/v1/completions', { prompt: undefined }, 'prompt'],
    ['/v1/completions', { prompt: [1, 'x'] }, 'prompt'],
    ['/v1/completions', { prompt: [1.5] }, 'prompt'],
    ['/v1/completions', { max_tokens: 0 }, 'max_tokens'],
    ['/v1/completions', { max_tokens: 600 }, 'max_tokens', 'context_length_exceeded'],
    ['/v1/completions', { prompt: Array(512).fill(1) }, null, 'context_length_exceeded'],
    ['/v1/completions', { prompt: 'x'.repeat(100_000) }, null, 'context_length_exceeded'],
    ['/v1/completions', { min_tokens: 17 }, 'min_tokens'],
    ['/v1/completions', { n: 257 }, 'n'],
    ['/v1/completions', { prompt: Array(257).fill('x') }, 'prompt'],
    ['/v1/completions', { stream_options: { include_usage: true } }, 'stream_options'],
    ['/v1/completions', { stream: true, prompt_logprobs: 1 }, 'prompt_logprobs'],
    ['/v1/completions', { model: 'gpt-4' }, 'model', 'model_not_found'],
    ['/v1/chat/completions', { messages: [] }, 'messages'],
    ['/v1/chat/completions', { messages: [{ content: 'x' }] }, 'messages.0.role'],
    ['/v1/chat/completions', { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages.0.content'],
    ['/v1/chat/completions', { top_logprobs: 2 }, 'top_logprobs'],
    ['/v1/chat/completions', { max_completion_tokens: 0 }, 'max_completion_tokens'],
    ['/v1/responses', { input: [] }, 'input'],
    ['/v1/responses', { max_output_tokens: 0 }, 'max_output_tokens'],
    ['/tokenize', { messages: undefined, prompt: undefined }, 'prompt'],
    ['/tokenize', { prompt: 'x' }, 'prompt'],
    ['/detokenize', { tokens: 'x' }, 'tokens'],
  ];
  for (const [url, fields, param, code = 'invalid_value'] of wrong) {
    it(`${url} with ${JSON.stringify(fields).slice(0, 60)} is ${code}`, async () => {
      const { app, engine } = await servedApp();
      const answer = await post(app, url, { prompt: 'x', input: 'x', ...CHAT, tokens: [], ...fields });
      const expected = code === 'model_not_found' ? 404 : 400;
      const { param: gotParam, code: gotCode, type } = errorOf(answer);
      expect([answer.statusCode, gotParam, gotCode, type]).to.deep.equal([
        expected,
        param,
        code,
        'invalid_request_error',
      ]);
      expect(engine.requests).to.deep.equal([]);
    });
  }

  const refused: readonly (readonly [url: string, fields: Readonly<Record<string, unknown>>])[] = [
    ['/v1/completions', { best_of: 2 }],
    ['/v1/completions', { suffix: 'end' }],
    ['/v1/completions', { response_format: { type: 'json_object' } }],
    ['/v1/completions', { guided_regex: 'a+' }],
    ['/v1/completions', { structured_outputs: { choice: ['a'] } }],
    ['/v1/completions', { use_beam_search: true }],
    ['/v1/chat/completions', { tool_choice: 'required' }],
    ['/v1/chat/completions', { tool_choice: { type: 'function', function: { name: 'f' } } }],
    ['/v1/chat/completions', { guided_json: {}, response_format: { type: 'json_schema' } }],
    ['/v1/chat/completions', { functions: [{ name: 'f' }] }],
    ['/v1/chat/completions', { function_call: { name: 'f' } }],
    ['/v1/responses', { reasoning: { effort: 'high' } }],
    ['/v1/responses', { previous_response_id: 'resp_1' }],
    ['/v1/responses', { background: true }],
    ['/v1/responses', { tools: [{ type: 'web_search' }] }],
    ['/v1/responses', { text: { format: { type: 'json_object' } } }],
  ];
  for (const [url, fields] of refused) {
    it(`${url} refuses ${Object.keys(fields).at(-1)!}, which it can't do`, async () => {
      const { app } = await servedApp();
      const needed = url === '/v1/completions' ? { prompt: 'x' } : { input: 'x', ...CHAT };
      const answer = await post(app, url, { ...needed, ...fields });
      const { param, code } = errorOf(answer);
      expect([answer.statusCode, param, code]).to.deep.equal([400, Object.keys(fields).at(-1), 'unsupported']);
    });
  }

  it('modalities may be nested as deep as JSON can be, and are refused still', async () => {
    const { app } = await servedApp();
    const payload = `{"messages": ${JSON.stringify(CHAT.messages)}, "modalities": ${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
    const headers = { 'content-type': 'application/json' };
    const answer = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload, headers });
    expect([answer.statusCode, errorOf(answer).code]).to.deep.equal([400, 'unsupported']);
  });

  it('a key of logit_bias that is no token is told with the bias that it has', async () => {
    const { app } = await servedApp();
    const { message } = errorOf(await post(app, '/v1/completions', { prompt: 'x', logit_bias: { x: 2 } }));
    expect(message).to.equal('logit_bias.x is 2; give token ids as keys, without leading zeros');
  });

  it('what asks for nothing is taken, whatever it is called', async () => {
    const { app } = await servedApp();
    const neutral = {
      best_of: 1,
      suffix: null,
      response_format: { type: 'text' },
      guided_json: null,
      use_beam_search: false,
      bad_words: [],
    };
    expect((await post(app, '/v1/completions', { prompt: 'x', ...neutral })).statusCode).to.equal(200);
    const chat = {
      ...CHAT,
      tool_choice: 'auto',
      tools: [],
      function_call: 'auto',
      modalities: ['text'],
      continue_final_message: false,
    };
    expect((await post(app, '/v1/chat/completions', chat)).statusCode).to.equal(200);
    const response = {
      input: 'x',
      tools: [],
      text: { format: { type: 'text' } },
      truncation: 'disabled',
      store: true,
      reasoning: { effort: null, summary: null },
    };
    expect((await post(app, '/v1/responses', response)).statusCode).to.equal(200);
  });

  it('a body that is no JSON object is 400, one of another type 415, one that is too long 413', async () => {
    const { app } = await servedApp({ base: { server: { max_body_bytes: 1024 } } });
    const send = async (payload: string, type = 'application/json'): Promise<unknown> => {
      const headers = { 'content-type': type };
      const answer = await app.inject({ method: 'POST', url: '/v1/completions', payload, headers });
      return [answer.statusCode, errorOf(answer).code];
    };
    for (const body of ['', '{', '[]', '"x"', 'null', '{"__proto__": {"prompt": "x"}}']) {
      expect(await send(body), body).to.deep.equal([400, 'invalid_request']);
    }
    expect(await send('prompt=x', 'application/x-www-form-urlencoded')).to.deep.equal([415, 'unsupported_media_type']);
    expect(await send('x', 'text/plain')).to.deep.equal([415, 'unsupported_media_type']);
    expect(await send(JSON.stringify({ prompt: 'x'.repeat(1024) }))).to.deep.equal([413, 'body_too_large']);
  });
});
