import { expect } from 'chai';
import { Conversation } from '../../../../lib/commands/chat/conversation.js';
import { ChatError } from '../../../../lib/commands/chat/answers/errors.js';
import { errorOf } from '../../../kit/rejects.js';

const spoken = Conversation.begin('Be brief.').asked('Hi').answered({ text: 'Hello', thinking: 'A greeting.' });

describe('a conversation', () => {
  it('tells models the system message first, then each turn in its order', () => {
    expect(spoken.asked('Bye').messages).to.deep.equal([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello', reasoning_content: 'A greeting.' },
      { role: 'user', content: 'Bye' },
    ]);
  });

  it('changes by making another one', () => {
    const before = spoken.messages;
    spoken.asked('x');
    spoken.reset();
    spoken.withSystem(null);
    expect(spoken.messages).to.deep.equal(before);
  });

  it('forgets all but the system message, and has another one or none', () => {
    expect(spoken.reset().messages).to.deep.equal([{ role: 'system', content: 'Be brief.' }]);
    expect(spoken.withSystem('Be long.').messages[0]).to.deep.equal({ role: 'system', content: 'Be long.' });
    expect(spoken.withSystem(null).messages.map(({ role }) => role)).to.deep.equal(['user', 'assistant']);
  });

  it('comes back from its JSON, and from the body of a request', () => {
    const { messages } = spoken;
    for (const text of [spoken.json, JSON.stringify({ model: 'm', messages })]) {
      const again = Conversation.ofJson(text, 'a.json');
      expect(again.system).to.equal('Be brief.');
      expect(again.messages).to.deep.equal(messages);
    }
  });

  it('keeps tool calls and contents without text as they are', () => {
    const messages = [
      { role: 'user', content: [{ type: 'text', text: 'x' }] },
      { role: 'assistant', content: null, tool_calls: [{ function: { name: 'f', arguments: {} } }] },
      { role: 'tool', content: '4' },
    ];
    expect(Conversation.ofJson(JSON.stringify(messages), 'a').messages).to.deep.equal(messages);
  });

  it('is refused from anything else, with the file, the place and what it holds', async () => {
    for (const [text, words] of [
      ['{', 'it is no JSON'],
      ['{"a": 1}', 'it is {"a":1}; give a list of messages'],
      ['[{"role": "user", "content": "x"}, 7]', 'its 1 is 7; give a message'],
      ['[{"content": "x"}]', 'its 0.role is undefined; give a text'],
      ['[{"role": "user", "content": 7}]', 'its 0.content is 7; give a text'],
    ] as const) {
      const error = await errorOf(ChatError, () => Conversation.ofJson(text, 'a.json'));
      expect(error.code).to.equal('BAD_CONVERSATION');
      expect(error.text).to.contain(`a.json is no conversation: ${words}`);
    }
  });
});
