import { expect } from 'chai';
import { ApiError } from '../../../../../lib/server/base/api_error.js';
import { Prompts } from '../../../../../lib/server/openai/requests/prompts.js';
import type { ChatMessage, ChatOptions } from '../../../../../lib/tokenizer/chat_template.js';
import { playedEngine } from '../../../../kit/server/served_app.js';
import { playText } from '../../../../kit/server/played_engine.js';

/** Prompts over the demo model's tokenizer, and what its template was given. */
async function watchedPrompts(): Promise<{
  readonly prompts: Prompts;
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
  return { prompts: new Prompts(engine), seen };
}

describe('conversations', () => {
  it('reach the chat template with tools, documents and what else it is to see', async () => {
    const { prompts, seen } = await watchedPrompts();
    const tools = [{ type: 'function', function: { name: 'clock' } }];
    const documents = [{ text: 'noon' }];
    const more = { chat_template_kwargs: { enable_thinking: false }, add_generation_prompt: false };
    prompts.chat({ messages: [{ role: 'user', content: 'x' }], tools, documents, ...more });
    expect(seen.options).to.deep.equal({
      addGenerationPrompt: false,
      variables: { tools, documents, enable_thinking: false },
    });
  });

  it('reach it as text, with the arguments of tool calls as values', async () => {
    const { prompts, seen } = await watchedPrompts();
    const call = (text: string): Record<string, unknown> => ({
      id: 'c1',
      function: { name: 'clock', arguments: text },
    });
    const asked = { role: 'assistant', content: null, tool_calls: [call('{"zone": "UTC"}')] };
    const answered = { role: 'tool', tool_call_id: 'c1', content: [{ type: 'text' as const, text: 'noon' }] };
    prompts.chat({ messages: [asked, answered] });
    expect(seen.messages).to.deep.equal([
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'c1', function: { name: 'clock', arguments: { zone: 'UTC' } } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: 'noon' },
    ]);
    prompts.chat({ messages: [{ ...asked, tool_calls: [call(''), {}, { function: null }] }] });
    const [first, ...others] = seen.messages![0]!.tool_calls as readonly object[];
    expect(first).to.deep.include({ function: { name: 'clock', arguments: {} } }); // as vLLM reads it
    expect(others).to.deep.equal([{}, { function: null }]);
    expect(() => prompts.chat({ messages: [{ ...asked, tool_calls: [call('{zone')] }] })).to.throw(
      ApiError,
      'give JSON',
    );
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
    const { tokenIds } = new Prompts(engine).read(text, { truncate: 5 });
    expect(tokenIds).to.deep.equal(encode('Call me, and call me again').slice(-5));
    expect(encoded).to.deep.equal([(engine.limits.maxModelLen + 1) * maxTokenChars]);
  });
});
