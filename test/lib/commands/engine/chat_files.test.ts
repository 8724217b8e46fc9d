import { expect } from 'chai';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { readPrompts, type PromptArgs } from '../../../../lib/commands/engine/prompts.js';
import { DEFAULTS, type ExpertwireConfig } from '../../../../lib/config/schema.js';
import { TokenizerError } from '../../../../lib/tokenizer/errors.js';
import { loadTokenizer } from '../../../../lib/tokenizer/tokenizer.js';
import { moe7m } from '../../../kit/paths.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const DEFAULT_TEMPLATE =
  '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}' +
  '{% if enable_thinking is false %}</think>{% endif %}';
const TOOL_TEMPLATE = `{% for t in tools or [] %}[{{ t | tojson }}]{% endfor %}${DEFAULT_TEMPLATE}`;
const RAG_TEMPLATE = `{% for d in documents or [] %}({{ d.text }}){% endfor %}${DEFAULT_TEMPLATE}`;

const configWith = (generate: Partial<ExpertwireConfig['generate']>): ExpertwireConfig => ({
  ...DEFAULTS,
  model: 'm',
  generate: { ...DEFAULTS.generate, ...generate },
});

/** What a chat's prompt says, with these files in a folder beside a model that has three templates. */
async function chat(
  files: Readonly<Record<string, string>>,
  args: PromptArgs,
  generate: Partial<ExpertwireConfig['generate']> = { chat: true },
  template = TOOL_TEMPLATE,
): Promise<string[]> {
  return withTempFolder(async (dir) => {
    await cp(join(moe7m(), 'tokenizer.json'), join(dir, 'tokenizer.json'));
    await mkdir(join(dir, 'additional_chat_templates'));
    await writeFile(join(dir, 'chat_template.jinja'), template === TOOL_TEMPLATE ? RAG_TEMPLATE : template);
    if (template === TOOL_TEMPLATE) await writeFile(join(dir, 'additional_chat_templates/tool_use.jinja'), template);
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
    const inDir = (file: string): string => join(dir, file);
    const given = {
      ...args,
      messages: args.messages?.map(inDir),
      ...(args.tools !== undefined && { tools: inDir(args.tools) }),
      ...(args.documents !== undefined && { documents: inDir(args.documents) }),
    };
    const tokenizer = (await loadTokenizer(dir))!;
    const prompts = await readPrompts(given, configWith(generate), tokenizer, commandContext());
    return prompts.map(({ tokenIds }) => tokenizer.decode(tokenIds, { skipSpecialTokens: false }));
  });
}

describe('a conversation', () => {
  const asked = '[{"role": "user", "content": "2+2?"}]';

  it('is a prompt in the chat template, or the messages of files', async () => {
    const files = { 'a.json': asked, 'b.json': '\uFEFF[{"role": "assistant", "content": "4"}]' };
    expect(await chat(files, { prompt: ['Hi'], messages: ['a.json', 'b.json'] })).to.deep.equal([
      '<user>Hi<a>',
      '<user>2+2?<a>',
      '<assistant>4<a>',
    ]);
  });

  it('has the system message of the flag or the configuration, unless it has one of its own', async () => {
    const own = { 'a.json': '[{"role": "system", "content": "S"}]' };
    const generate = { chat: true, system: 'Be brief.' };
    expect(await chat(own, { prompt: ['Hi'], messages: ['a.json'] }, generate)).to.deep.equal([
      '<system>Be brief.<user>Hi<a>',
      '<system>S<a>',
    ]);
    expect(await chat({}, { prompt: ['Hi'] }, { chat: true, system: '' })).to.deep.equal(['<user>Hi<a>']);
    const both = await errorOf(UsageError, () => chat(own, { messages: ['a.json'], system: 'x' }, generate));
    expect(both.message).to.include('leave one of them out');
  });

  it('shows the template tools, by its template for tools, documents and what else is said', async () => {
    const files = { 'a.json': asked, 'tools.json': '[{"n": 1.0, "2": 12345678901234567890, "1": null}]' };
    expect(await chat(files, { messages: ['a.json'], tools: 'tools.json' })).to.deep.equal([
      '[{"n": 1.0, "2": 12345678901234567890, "1": null}]<user>2+2?<a>',
    ]);
    const documents = { 'a.json': asked, 'd.json': '[{"text": "four"}]' };
    expect(await chat(documents, { messages: ['a.json'], documents: 'd.json' })).to.deep.equal(['(four)<user>2+2?<a>']);
    const generate = { chat: true, chat_template_kwargs: { enable_thinking: false } };
    expect(await chat({}, { prompt: ['Hi'] }, generate)).to.deep.equal(['<user>Hi<a></think>']);
  });

  it('goes by the template that the configuration names', async () => {
    const files = { 'a.json': asked, 'tools.json': '[{"n": 1}]' };
    const args = { messages: ['a.json'], tools: 'tools.json' };
    const as = (name: string) => chat(files, args, { chat: true, chat_template: name });
    expect(await as('tool_use')).to.deep.equal(['[{"n": 1}]<user>2+2?<a>']);
    const deaf = await errorOf(UsageError, () => as('default'));
    expect(deaf.message).to.include('--tools');
    const none = await errorOf(TokenizerError, () => as('rag'));
    expect(none.message).to.include('no chat template "rag"; it has default, tool_use');
  });

  it('may go on with its last message', async () => {
    const files = { 'a.json': '[{"role": "user", "content": "Count"}, {"role": "assistant", "content": "1, 2,"}]' };
    const args = { messages: ['a.json'], continueFinalMessage: true };
    expect(await chat(files, args)).to.deep.equal(['<user>Count<assistant>1, 2,']);
    const alone = await errorOf(UsageError, () => chat({}, { prompt: ['Hi'], continueFinalMessage: true }));
    expect(alone.message).to.include('--messages FILE; give that');
  });

  const wrong: readonly (readonly [text: string, message: RegExp])[] = [
    ['', /can't be read .*; give a JSON file/],
    ['{"role": "user"}', /a\.json: give a list of messages/],
    ['[]', /a\.json: give at least one message/],
    ['["Hi"]', /a\.json at 0: give a message/],
    ['[{"role": "user", "content": "x"}, {"content": "x"}]', /a\.json at 1\.role: give a role/],
    ['['.repeat(100_000) + ']'.repeat(100_000), /a\.json( at 0: give a message| can't be read)/],
  ];
  for (const [text, message] of wrong) {
    it(`from ${text.slice(0, 40) || 'an empty file'} is refused`, async () => {
      expect((await errorOf(UsageError, () => chat({ 'a.json': text }, { messages: ['a.json'] }))).message).to.match(
        message,
      );
    });
  }

  it('with tools that the template does not read is refused', async () => {
    const files = { 'tools.json': '[]' };
    const error = await errorOf(UsageError, () =>
      chat(files, { prompt: ['Hi'], tools: 'tools.json' }, { chat: true }, DEFAULT_TEMPLATE),
    );
    expect(error.message).to.include("the model's chat template doesn't read tools; leave --tools out");
  });
});
