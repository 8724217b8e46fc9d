import { expect } from 'chai';
import { renderChat } from '../../../lib/tokenizer/chat_template.js';
import { TokenizerError } from '../../../lib/tokenizer/errors.js';
import { errorOf } from '../../kit/rejects.js';

const CHATML =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const STRICT =
  '{% if messages[0].role != "user" %}{{ raise_exception("must begin with a user") }}{% endif %}{{ messages[0].content }}';

describe('chat template', () => {
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hi {{ eos_token }}' },
  ];

  it('writes the messages, taken literally, and asks for an answer', () => {
    expect(renderChat(messages, { template: CHATML })).to.equal(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi {{ eos_token }}<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  it('sees what else a caller gives, but never other messages in place of them', () => {
    const template = '{{ tools[0].name }} {{ thinking }} {{ messages[0].content }} {{ messages[0].tool_call_id }}';
    const variables = { tools: [{ name: 'clock' }], thinking: false, messages: [] };
    const called = [{ role: 'tool', content: 'noon', tool_call_id: 'c1' }];
    expect(renderChat(called, { template, variables })).to.equal('clock false noon c1');
  });

  it('does not ask for an answer when told not to', () => {
    expect(renderChat(messages, { template: CHATML, addGenerationPrompt: false })).to.match(/<\|im_end\|>\n$/);
  });

  it('knows the special tokens', () => {
    const template = '{{ bos_token }}|{{ eos_token }}';
    expect(renderChat([], { template, specialTokens: { bos_token: '<s>', eos_token: '</s>' } })).to.equal('<s>|</s>');
    expect(renderChat([], { template })).to.equal('|');
  });

  it('may end its lines as Windows does', () => {
    const unix =
      '{{ bos_token }}\n{% for message in messages %}\n  {% if true %}\n{{ message.content }}\n  {% endif %}\n{% endfor %}\n<|assistant|>\n';
    const expected = renderChat(messages, { template: unix });
    expect(expected).to.equal('\nBe brief.\nHi {{ eos_token }}\n<|assistant|>');
    for (const end of ['\r\n', '\r']) {
      expect(renderChat(messages, { template: unix.replaceAll('\n', end) })).to.equal(expected);
    }
  });

  it('that refuses the messages is reported in its own words', async () => {
    const error = await errorOf(TokenizerError, () => renderChat(messages, { template: STRICT }));
    expect(error.code).to.equal('TEMPLATE_FAILED');
    expect(error.message)
      .to.contain('must begin with a user')
      .and.match(/; change the messages/);
    expect(error.cause).to.be.instanceOf(Error);
  });

  it('that is malformed is reported', async () => {
    for (const template of ['{% for x in y %}', '{{ 1 +', '{% nonsense %}']) {
      expect((await errorOf(TokenizerError, () => renderChat(messages, { template }))).code).to.equal(
        'TEMPLATE_FAILED',
      );
    }
  });

  it('that is missing is reported', async () => {
    const error = await errorOf(TokenizerError, () => renderChat(messages, { template: undefined }));
    expect(error.code).to.equal('NO_CHAT_TEMPLATE');
  });
});
