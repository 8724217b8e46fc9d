import { expect } from 'chai';
import { ApiError } from '../../../../../lib/server/base/api_error.js';
import { DEMO_MODEL } from '../../../../../lib/config/package_files.js';
import { Prompts } from '../../../../../lib/server/openai/requests/prompts.js';
import type { ChatMessage, ChatOptions } from '../../../../../lib/tokenizer/chat_template.js';
import { TokenizerThread } from '../../../../../lib/tokenizer/tokenizer_thread.js';
import { errorOf } from '../../../../kit/rejects.js';
import { playedEngine, post, servedApp } from '../../../../kit/server/served_app.js';
import { playText } from '../../../../kit/server/played_engine.js';

/** Prompts over the demo model's tokenizer, and what its template was given. */
async function watchedPrompts(): Promise<{
  readonly prompts: Prompts;
  readonly engine: Awaited<ReturnType<typeof playedEngine>>;
  readonly seen: { messages?: readonly ChatMessage[]; options?: ChatOptions | undefined };
}> {
  const engine = await playedEngine(playText(''));
  const tokenizer = engine.tokenizer!;
  const seen: { messages?: readonly ChatMessage[]; options?: ChatOptions | undefined } = {};
  tokenizer.renderChat = (messages, options) => {
    Object.assign(seen, { messages, options });
    return 'Call me';
  };
  after(() => Reflect.deleteProperty(tokenizer, 'renderChat'));
  return { prompts: new Prompts(engine, longTexts()), engine, seen };
}

describe('a tool call whose arguments are no JSON', () => {
  it('is refused', async () => {
    const { app } = await servedApp();
    const tool_calls = [{ function: { arguments: '{zone' } }];
    const answer = await post(app, '/v1/chat/completions', { messages: [{ role: 'assistant', tool_calls }] });
    expect(answer.statusCode).to.equal(400);
    expect(answer.body).to.match(/arguments of a tool call are .*; give JSON/);
  });
});

describe('conversations', () => {
  it('reach the chat template with tools, documents and what else it is to see', async () => {
    const { prompts, seen } = await watchedPrompts();
    const tools = [{ type: 'function', function: { name: 'clock' } }];
    const documents = [{ text: 'noon' }];
    const more = { chat_template_kwargs: { enable_thinking: false }, add_generation_prompt: false };
    await prompts.chat({ messages: [{ role: 'user', content: 'x' }], tools, documents, ...more });
    expect(seen.options).to.deep.equal({
      addGenerationPrompt: false,
      tools,
      documents,
      variables: { enable_thinking: false },
    });
  });

  it('see what the configuration says of all chats, unless they say otherwise', async () => {
    const { seen, engine } = await watchedPrompts();
    const prompts = new Prompts(engine, longTexts(), { variables: { enable_thinking: true, style: 'plain' } });
    await prompts.chat({
      messages: [{ role: 'user', content: 'x' }],
      chat_template_kwargs: { enable_thinking: false },
    });
    expect(seen.options?.variables).to.deep.equal({ enable_thinking: false, style: 'plain' });
  });

  it('reach it with an empty content where they have none', async () => {
    const { prompts, seen } = await watchedPrompts();
    const asked = { role: 'assistant', content: null, tool_calls: [{ id: 'c1' }] };
    await prompts.chat({ messages: [asked] });
    expect(seen.messages).to.deep.equal([{ ...asked, content: '' }]);
  });

  it('go on where the last message ends, unless an answer is asked for', async () => {
    const { prompts, seen } = await watchedPrompts();
    const messages = [{ role: 'assistant', content: 'Call' }];
    await prompts.chat({ messages, continue_final_message: true });
    expect(seen.options).to.deep.equal({ continueFinalMessage: true, variables: {} });
    const both = { messages, continue_final_message: true, add_generation_prompt: true };
    expect((await errorOf(ApiError, () => prompts.chat(both))).message).to.include('exclude each other');
  });
});

describe('long texts', () => {
  it('of which the last tokens are kept are cut before they are encoded, and keep the same tokens', async () => {
    const engine = await playedEngine(playText(''));
    const { maxTokenChars } = engine.tokenizer!;
    const text = `${' '.repeat(200_000)}Call me, and call me again`;
    const encoded: number[] = [];
    const encode = engine.tokenizer!.encode.bind(engine.tokenizer);
    engine.tokenizer!.encode = (given, options) => {
      encoded.push(given.length);
      return encode(given, options);
    };
    after(() => Reflect.deleteProperty(engine.tokenizer!, 'encode'));
    const { tokenIds } = await new Prompts(engine, longTexts()).read(text, { truncate: 5 });
    expect(tokenIds).to.deep.equal(encode('Call me, and call me again').slice(-5));
    expect(encoded).to.deep.equal([(engine.limits.maxModelLen + 1) * maxTokenChars]);
  });

  it('are encoded in a thread, as they are without one, and given up when nobody waits', async () => {
    const { prompts, tokenizer } = await roomyPrompts();
    const text = 'Call me, and call me again. '.repeat(1000);
    const expected = tokenizer.encode(text);
    tokenizer.encode = () => {
      throw new Error('encoded at once');
    };
    after(() => Reflect.deleteProperty(tokenizer, 'encode'));
    expect(await prompts.read(text)).to.deep.equal({ tokenIds: expected, text });
    const leaving = new AbortController();
    const reading = prompts.read(' '.repeat(1_000_000), { signal: leaving.signal });
    leaving.abort(new ApiError('DRAINING', 'the server ended'));
    expect((await errorOf(ApiError, () => reading)).code).to.equal('DRAINING');
  });

  it('hold up neither other clients nor the end of the server', async () => {
    const engine = await playedEngine(playText(''));
    Object.assign(engine.limits, { maxModelLen: 1_000_000 });
    const { app, server } = await servedApp({ engine });
    const reading = post(app, '/tokenize', { prompt: ' '.repeat(1_000_000) }); // takes half a minute
    while (server.numRunning === 0) await new Promise(setImmediate);
    expect((await app.inject('/health')).statusCode).to.equal(200);
    await server.close();
    expect((await reading).json()).to.have.nested.property('error.code', 'draining');
  });

  it('are refused as long as too many of them wait', async () => {
    const { prompts, thread } = await roomyPrompts();
    const leaving = Array.from({ length: 16 }, () => new AbortController());
    const text = ' '.repeat(1_000_000);
    const reading = leaving.map(({ signal }) => prompts.read(text, { signal }));
    const ends = Promise.allSettled(reading);
    expect(thread.isFull).to.equal(true);
    expect((await errorOf(ApiError, () => prompts.read(text))).code).to.equal('QUEUE_FULL');
    for (const each of leaving) each.abort();
    expect((await ends).map(({ status }) => status)).to.deep.equal(Array(16).fill('rejected'));
    expect(thread.isFull).to.equal(false);
  });
});

/** A thread over the demo model, closed at the end. */
function longTexts(): TokenizerThread {
  const thread = new TokenizerThread(DEMO_MODEL);
  after(() => thread.close());
  return thread;
}

/** Prompts for a context of a million tokens. */
async function roomyPrompts() {
  const { tokenizer, limits } = await playedEngine(playText(''));
  const thread = longTexts();
  const prompts = new Prompts({ tokenizer: tokenizer!, limits: { ...limits, maxModelLen: 1_000_000 } }, thread);
  return { prompts, thread, tokenizer: tokenizer! };
}
