import { expect } from 'chai';
import { ChatTemplates, type ChatMessage, type ChatOptions } from '../../../lib/tokenizer/chat_template.js';
import { TokenizerError } from '../../../lib/tokenizer/errors.js';
import { errorOf } from '../../kit/rejects.js';

const CHATML =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const STRICT =
  '{% if messages[0].role != "user" %}{{ raise_exception("must begin with a user; not so") }}{% endif %}{{ messages[0].content }}';

/** Almost all of a rendering's steps, at once: what goes through a list of lists that are the same goes through each of them. What comes behind it is soon stopped. */
const SPENT =
  '{% set spent = namespace(s=range(280) | list) %}{% for i in range(16) %}{% set spent.s = [spent.s, spent.s] %}{% endfor %}{% if 7 in spent.s %}{% endif %}';

const PARTS = '{% for part in messages[0].content %}{{ part.text }}{% endfor %}';

const templatesOf = (template: string, specialTokens: Record<string, string> = {}): ChatTemplates =>
  new ChatTemplates(new Map([['default', template]]), specialTokens);

const render = (template: string, messages: readonly ChatMessage[], options: ChatOptions = {}): string =>
  templatesOf(template).render(messages, options);

describe('chat template', () => {
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hi {{ eos_token }}' },
  ];

  it('writes the messages, taken literally, and asks for an answer', () => {
    expect(render(CHATML, messages)).to.equal(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi {{ eos_token }}<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  it('sees tools, documents and what else a caller gives, but never other messages in place of them', () => {
    const template =
      '{{ tools[0].name }} {{ documents is none }} {{ thinking }} {{ messages[0].content }} {{ messages[0].tool_call_id }}';
    const called = [{ role: 'tool', content: 'noon', tool_call_id: 'c1' }];
    const options = { tools: [{ name: 'clock' }], variables: { thinking: false, messages: [] } };
    expect(render(template, called, options)).to.equal('clock True False noon c1');
  });

  it('does not ask for an answer when told not to', () => {
    expect(render(CHATML, messages, { addGenerationPrompt: false })).to.match(/<\|im_end\|>\n$/);
  });

  it('knows the special tokens, unless a caller has others', () => {
    const templates = templatesOf('{{ bos_token }}|{{ eos_token }}', { bos_token: '<s>', eos_token: '</s>' });
    expect(templates.render([])).to.equal('<s>|</s>');
    expect(templates.render([], { variables: { bos_token: '' } })).to.equal('|</s>');
  });

  it('of several is tool_use where tools are given, else default, else the one that is named', async () => {
    const sources = new Map([
      ['default', 'plain'],
      ['tool_use', 'tools'],
      ['rag', 'documents'],
    ]);
    const templates = new ChatTemplates(sources);
    expect(templates.render(messages)).to.equal('plain');
    expect(templates.render(messages, { tools: [] })).to.equal('tools');
    expect(templates.render(messages, { tools: [], templateName: 'rag' })).to.equal('documents');
    const error = await errorOf(TokenizerError, () => templates.render(messages, { templateName: 'rga' }));
    expect(error.message).to.equal(
      'NO_CHAT_TEMPLATE: the model folder has no chat template "rga"; it has default, tool_use, rag',
    );
  });

  it('reads parts of a content, or does not', () => {
    expect(templatesOf(PARTS).readsParts()).to.equal(true);
    for (const template of [CHATML, STRICT, '{{ messages | tojson }}', '{% broken', '{{ nothing.at.all }}']) {
      expect(templatesOf(template).readsParts(), template).to.equal(false);
    }
  });

  it('that refuses the messages is reported in its own words', async () => {
    const error = await errorOf(TokenizerError, () => render(STRICT, messages));
    expect(error.message).to.equal(
      'TEMPLATE_FAILED: the chat template refuses this: must begin with a user; not so; change the messages (roles and their order), or give a plain prompt',
    );
  });

  it('that is malformed or fails is reported with its line', async () => {
    const cases = [
      ['{% for x in y %}', /malformed at line 1: the template ends where endfor or else is missing for "for"; mend/],
      ['\n\n{{ 1 +', /malformed at line 3: unexpected the template's end; mend/],
      ['a\n{% nonsense %}', /malformed at line 2: unknown tag 'nonsense'; mend/],
      ['\n{% if true %}\n\n{{ "a" + 1 }}{% endif %}', /failed at line 4: unsupported operand type/],
      ['{{ [1] | nonsense }}', /failed at line 1: No filter named 'nonsense'.; change/],
    ] as const;
    for (const [template, message] of cases) {
      const error = await errorOf(TokenizerError, () => render(template, messages));
      expect(error.code).to.equal('TEMPLATE_FAILED');
      expect(error.message).to.match(message);
    }
  });

  it('that makes too much, or never ends, is stopped', async () => {
    expect(render(`${SPENT}in time`, messages)).to.equal('in time');
    const loop = (body: string, before = ''): string =>
      `${before}{% for a in range(99999) %}{% for b in range(99999) %}${body}{% endfor %}{% endfor %}`;
    const endless = (body: string, before?: string): string => SPENT + loop(body, before);
    const shared = (body: string): string =>
      `{% set ns = namespace(s=['a'], t=['a']) %}{% for i in range(40) %}{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}${body}`;
    const nested = '['.repeat(20_000) + ']'.repeat(20_000);
    const cases = [
      [endless('{% set c = 1 %}'), /steps/],
      [loop('{{ "x" * 100000 }}'), /writes more than/],
      [endless('{{ r | sum }}', '{% set r = range(99999) | list %}'), /steps/],
      [endless('{{ 7 in r }}', '{% set r = range(99999) | list %}'), /steps/],
      [endless('{{ r.count(7) }}', '{% set r = range(99999) | list %}'), /steps/],
      [shared('{{ ns.s }}'), /steps/],
      [shared('{{ ns.s ~ 1 }}'), /steps/],
      [shared('{{ ns.s | tojson }}'), /steps/],
      [shared("{{ [ns.s] | map('tojson') | list | length }}"), /steps/],
      [shared("{{ [ns.s] | select('eq', ns.s) | list | length }}"), /steps/],
      [shared('{{ ns.s == ns.t }}'), /steps/],
      [shared('{{ ns.s is eq ns.t }}'), /steps/],
      [shared('{{ ns.s in [ns.t] }}'), /steps/],
      [shared('{{ [ns.s].index(ns.t) }}'), /steps/],
      [shared("{{ '{}'.format(ns.s) }}"), /steps/],
      [shared("{{ '%s' % ns.s }}"), /steps/],
      [shared('{{ {(ns.s, 1): 1} }}'), /steps/],
      [shared("{{ {'a': 1}[ns.s] }}"), /steps/],
      [endless('{% for x in r %}{% endfor %}', "{% set r = 'x' * 9999999 %}"), /steps/],
      [endless('{% set x = l[1:] | upper %}', "{% set l = 'x' * 1000000 %}"), /steps/],
      [endless(`{% macro m() %}${'{{ a }}'.repeat(50_000)}{% endmacro %}`), /steps/],
      ['{{ "x" * 99999999999 }}', /too large/],
      [`{% set ns = namespace(x=3) %}${loop('{% set ns.x = ns.x * ns.x %}')}`, /too large/],
      ['{{ 9 ** 99999999 }}', /too large/],
      ['{{ range(9999999) | length }}', /Range too big/],
      ['{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}', /nested too deeply/],
      [`{{ ${nested} }}`, /nested too deeply/],
      ["{{ '%999999999d' % 1 }}", /a width of/],
    ] as const;
    for (const [template, message] of cases) {
      const error = await errorOf(TokenizerError, () => render(template, messages));
      expect(error.message.slice(0, 300)).to.match(message);
    }
  });

  it('sees nothing of JavaScript', () => {
    const names = ['constructor', '__proto__', 'prototype', 'toString', 'hasOwnProperty', 'valueOf'];
    for (const name of names) {
      for (const value of [
        'messages',
        'messages[0]',
        'messages[0].content',
        'namespace()',
        'range',
        '1',
        '1.5',
        'none',
        '"a".upper',
        '{}',
      ]) {
        expect(render(`{{ ${value}.${name} is defined }}{{ ${value}['${name}'] is defined }}`, messages)).to.equal(
          'FalseFalse',
        );
      }
      expect(render(`{{ ${name} is defined }}`, messages)).to.equal('False');
      for (const use of [`'x' | ${name}`, `'x' is ${name}`])
        expect(() => render(`{{ ${use} }}`, messages)).to.throw('named');
    }
  });

  it('that is missing is reported', async () => {
    const error = await errorOf(TokenizerError, () => new ChatTemplates(new Map()).render(messages));
    expect(error.code).to.equal('NO_CHAT_TEMPLATE');
  });
});
