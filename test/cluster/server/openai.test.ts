import { expect } from 'chai';
import OpenAI, { toFile, APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } from 'openai';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { ServedJob } from '../../kit/server/served_job.js';

const PROMPT = 'Call me';
const MESSAGES = [{ role: 'user' as const, content: PROMPT }];
const GREEDY = { temperature: 0, seed: 1 };

describe('the official openai client', function () {
  this.timeout(60_000);
  let job: ServedJob;
  let client: OpenAI;
  /** What `generate` gives for {@link PROMPT}: 12 tokens. */
  let expected: { readonly tokenIds: readonly number[]; readonly text: string };

  before(async () => {
    job = await ServedJob.start({ model: DEMO_MODEL, ranks: 2, apiKeys: ['sesame'] });
    client = new OpenAI({ baseURL: `${job.url}/v1`, apiKey: 'sesame', maxRetries: 0 });
    expected = await job.generate(PROMPT, 12);
  });
  after(async () => job.close());
  afterEach(() => job.expectIdle());

  it('lists the model', async () => {
    const models = await client.models.list();
    expect(models.data.map(({ id }) => id)).to.deep.equal(['moe-7m']);
    expect((await client.models.retrieve('moe-7m')).owned_by).to.equal('expertwire');
  });

  it('gets completions: the tokens of generate, whole and streamed, for text, tokens and lists of either', async () => {
    const fields = { model: 'moe-7m', max_tokens: 12, ...GREEDY };
    const tokens = job.engine.tokenizer!.encode(PROMPT);
    for (const prompt of [PROMPT, [PROMPT, PROMPT], tokens, [tokens, tokens]]) {
      const { choices, usage } = await client.completions.create({ ...fields, prompt });
      for (const { text } of choices) expect(text).to.equal(expected.text);
      expect(usage!.completion_tokens).to.equal(12 * choices.length);
    }
    let text = '';
    let numChunks = 0;
    for await (const chunk of await client.completions.create({ ...fields, prompt: PROMPT, stream: true })) {
      text += chunk.choices[0]!.text;
      numChunks++;
    }
    expect(text).to.equal(expected.text);
    expect(numChunks).to.be.within(2, 12);
  });

  it("gets a prompt's log-probabilities alone, for each of n, also where the prompt fills the context", async () => {
    const { maxModelLen } = job.engine.limits;
    const prompt = Array.from({ length: maxModelLen }, (_, i) => 5 + (i % 50));
    const fields = { model: 'moe-7m', max_tokens: 0, echo: true, logprobs: 1, n: 2, prompt, ...GREEDY };
    const { choices, usage } = await client.completions.create(fields);
    const { logprobs: scored } = await job.engine.score({ tokenIds: prompt });
    for (const { logprobs, finish_reason: reason } of choices) {
      expect([reason, logprobs!.tokens!.length]).to.deep.equal(['length', maxModelLen]);
      for (const [i, logprob] of scored.entries()) {
        expect(logprobs!.token_logprobs![i + 1]).to.be.closeTo(logprob, 1e-4);
      }
    }
    expect(usage!.completion_tokens).to.equal(0);
  });

  it('gets log-probabilities that agree between completions, chats and score', async () => {
    const fields = { model: 'moe-7m', prompt: PROMPT, max_tokens: 1, logprobs: 3, echo: true, ...GREEDY };
    const { choices } = await client.completions.create(fields);
    const { tokens, token_logprobs: logprobs, top_logprobs: top } = choices[0]!.logprobs!;
    expect(tokens).to.deep.equal(['<|begin|>', 'C', 'all', ' me', ',']);
    const scored = await job.engine.score({
      tokenIds: [...job.engine.tokenizer!.encode(PROMPT), expected.tokenIds[0]!],
    });
    expect(logprobs![0]).to.equal(null);
    for (const [i, logprob] of scored.logprobs.entries()) expect(logprobs![i + 1]).to.be.closeTo(logprob, 1e-4);
    for (const [i, each] of top!.entries()) if (i > 0) expect(Object.keys(each)).to.have.length.within(3, 4);

    const chat = await client.chat.completions.create({
      ...{ model: 'moe-7m', messages: MESSAGES, max_completion_tokens: 3, logprobs: true, top_logprobs: 2, ...GREEDY },
    });
    for (const { token, bytes, logprob, top_logprobs: most } of chat.choices[0]!.logprobs!.content!) {
      expect(Buffer.from(bytes!).toString()).to.equal(token);
      expect(most).to.have.length(2);
      expect(most[0]!.logprob, 'greedy').to.equal(logprob);
    }
  });

  it('gets n texts, each from a stream of the seed of its own, the same again for the same seed', async () => {
    const ask = async (): Promise<string[]> => {
      const fields = { model: 'moe-7m', prompt: PROMPT, max_tokens: 16, n: 3, seed: 7, temperature: 1 };
      return (await client.completions.create(fields)).choices.map(({ text }) => text);
    };
    const texts = await ask();
    expect(new Set(texts).size).to.equal(3);
    expect(await ask()).to.deep.equal(texts);
  });

  it('gets chats, whole and streamed, with the usage', async () => {
    const fields = { model: 'moe-7m', messages: MESSAGES, max_completion_tokens: 8, ...GREEDY };
    const whole = await client.chat.completions.create(fields);
    expect(whole.choices[0]!.message.role).to.equal('assistant');
    const stream = client.chat.completions.stream({ ...fields, stream_options: { include_usage: true } });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]!.message.content).to.equal(whole.choices[0]!.message.content);
    const { total_tokens: total, prompt_tokens: prompt, completion_tokens: completion } = final.usage!;
    expect(total)
      .to.equal(prompt + completion)
      .and.equal(whole.usage!.total_tokens);
  });

  it('ends at stop strings and stop tokens, and is told which', async () => {
    const fields = { model: 'moe-7m', prompt: PROMPT, max_tokens: 12, ...GREEDY };
    const [third] = [expected.tokenIds[2]!];
    const byString = await client.completions.create({ ...fields, stop: ' I' });
    const [choice] = byString.choices as unknown as { text: string; finish_reason: string; stop_reason: unknown }[];
    expect(choice).to.include({ text: ', and', finish_reason: 'stop', stop_reason: ' I' });
    const byToken = await client.completions.create({ ...fields, ...{ stop_token_ids: [third] } });
    expect(byToken.choices[0]).to.include({ finish_reason: 'stop', stop_reason: third });
  });

  it('gets responses, whole and streamed', async () => {
    const fields = { model: 'moe-7m', input: PROMPT, max_output_tokens: 8, temperature: 0 };
    const whole = await client.responses.create(fields);
    expect(whole.status).to.equal('incomplete');
    const final = await client.responses.stream(fields).finalResponse();
    expect(final.output_text).to.equal(whole.output_text).and.not.equal('');
    expect(final.usage!.output_tokens).to.equal(8);
  });

  it('gets the experts of every token, also in pieces', async () => {
    const more = { return_routed_experts: true };
    const fields = { model: 'moe-7m', prompt: PROMPT, max_tokens: 4, ...GREEDY, ...more };
    interface Routed {
      readonly routed_experts: number[][][];
    }
    const whole = await client.completions.create(fields);
    const { routed_experts: experts } = whole.choices[0] as unknown as Routed;
    const pieces: number[][][] = [];
    for await (const chunk of await client.completions.create({ ...fields, stream: true })) {
      pieces.push(...(chunk.choices[0] as unknown as Routed).routed_experts);
    }
    expect(experts).to.have.length(4 + 4 - 1);
    expect(pieces).to.deep.equal(experts);
  });

  it('gets the tokens of generate from a batch, in a file that it can list, read and delete', async () => {
    const lineOf = (id: string, body: object): string =>
      JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/completions', body });
    const fields = { model: 'moe-7m', max_tokens: 12, ...GREEDY };
    const lines = [lineOf('a', { ...fields, prompt: PROMPT }), lineOf('b', { ...fields, prompt: PROMPT, model: 'x' })];
    const file = await client.files.create({
      file: await toFile(Buffer.from(lines.join('\n')), 'in.jsonl'),
      purpose: 'batch',
    });
    expect((await client.files.retrieve(file.id)).filename).to.equal('in.jsonl');
    const begin = { input_file_id: file.id, endpoint: '/v1/completions', completion_window: '24h' } as const;
    let batch = await client.batches.create({ ...begin, metadata: { of: 'test' } });
    while (!['completed', 'failed'].includes(batch.status)) batch = await client.batches.retrieve(batch.id);
    expect(batch.request_counts).to.deep.equal({ total: 2, completed: 1, failed: 1 });
    const rowOf = async (id: string) =>
      JSON.parse(await (await client.files.content(id)).text()) as {
        readonly custom_id: string;
        readonly response: { readonly body: OpenAI.Completion & { readonly error?: { readonly code: string } } };
      };
    const row = await rowOf(batch.output_file_id!);
    expect([row.custom_id, row.response.body.choices[0]!.text]).to.deep.equal(['a', expected.text]);
    const refused = await rowOf(batch.error_file_id!);
    expect([refused.custom_id, refused.response.body.error!.code]).to.deep.equal(['b', 'model_not_found']);
    const batches: string[] = [];
    for await (const { id } of client.batches.list({ limit: 1 })) batches.push(id);
    expect(batches).to.deep.equal([batch.id]);
    const files: string[] = [];
    for await (const { id } of client.files.list({ limit: 1, order: 'asc' })) files.push(id);
    expect(files.sort()).to.deep.equal([file.id, batch.output_file_id, batch.error_file_id].sort());
    for (const id of files) expect((await client.files.delete(id)).deleted).to.equal(true);
    expect((await client.files.list()).data).to.deep.equal([]);
  });

  it('gets errors of the classes that it has for them', async () => {
    const fields = { model: 'moe-7m', prompt: PROMPT, max_tokens: 12 };
    const errorOf = async (work: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> =>
      work.then(
        () => expect.fail('no error'),
        (error: unknown) => error as InstanceType<typeof OpenAI.APIError>,
      );
    const wrong = await errorOf(client.completions.create({ ...fields, temperature: -1 }));
    expect(wrong).to.be.instanceOf(BadRequestError).and.include({ param: 'temperature', code: 'invalid_value' });
    const long = await errorOf(client.completions.create({ ...fields, max_tokens: 10_000, stream: true }));
    expect(long).to.be.instanceOf(BadRequestError).and.include({ code: 'context_length_exceeded' });
    const vocabulary = await errorOf(client.completions.create({ ...fields, prompt: [1, 9999] }));
    expect(vocabulary).to.be.instanceOf(BadRequestError);
    const model = await errorOf(client.completions.create({ ...fields, model: 'gpt-4' }));
    expect(model).to.be.instanceOf(NotFoundError).and.include({ code: 'model_not_found' });
    const stranger = client.withOptions({ apiKey: 'wrong' });
    expect(await errorOf(stranger.models.list())).to.be.instanceOf(AuthenticationError);
  });

  it('gives up a request, whole or streamed, and its blocks return', async () => {
    const fields = { model: 'moe-7m', prompt: PROMPT, max_tokens: 400, ...{ ignore_eos: true } };
    const whole = new AbortController();
    const answer = client.completions.create(fields, { signal: whole.signal });
    const failed = answer.then(
      () => expect.fail('an answer'),
      (error: unknown) => error,
    );
    await job.until(({ numRunning }) => numRunning === 1);
    whole.abort();
    expect(await failed).to.be.instanceOf(APIUserAbortError);
    await job.until(({ numRunning }) => numRunning === 0);

    const stream = await client.completions.create({ ...fields, stream: true });
    for await (const chunk of stream) {
      expect(chunk.choices).to.have.length(1);
      break; // the client closes the connection
    }
    await job.until(({ numRunning, numUsedBlocks }) => numRunning === 0 && numUsedBlocks === 0);
  });
});
