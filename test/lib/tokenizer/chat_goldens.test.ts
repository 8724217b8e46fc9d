/** Chat templates against what transformers made of them: scripts/chats/record.py. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { CodedError } from '../../../base/coded_error.js';
import { ChatTemplates, type ChatMessage } from '../../../lib/tokenizer/chat_template.js';
import { Template } from '../../../lib/tokenizer/jinja/template.js';
import { parseExactJson } from '../../../lib/tokenizer/jinja/values/plain.js';
import { repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const DATA = join(repoRoot(), 'test/data/chats');
const read = (name: string): string => readFileSync(join(DATA, name), 'utf8');

/** The time of every recording, in this machine's zone. */
const now = (): Date => new Date(2026, 2, 5, 7, 8, 9);

type Recorded = { readonly text: string } | { readonly error: string; readonly words?: string };

/** Holds what is written to what was recorded; where Jinja2 fails it must fail, and with the same words where the template raises. */
async function hold(name: string, recorded: Recorded, render: () => string): Promise<void> {
  if ('text' in recorded) expect(render(), name).to.equal(recorded.text);
  else {
    const error = await errorOf(Error, render);
    expect(error.cause ?? error, name).to.be.instanceOf(CodedError);
    expect(error.message, name).to.contain(recorded.words ?? '');
  }
}

interface Conversation {
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly object[];
  readonly documents?: readonly object[];
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly add_generation_prompt?: boolean;
  readonly continue_final_message?: boolean | string;
}

describe('chat templates as transformers renders them', () => {
  const { variables } = parseExactJson(read('expressions.json')) as { readonly variables: Record<string, unknown> };
  const expressions = JSON.parse(read('recorded_expressions.json')) as readonly (Recorded & {
    readonly source: string;
  })[];
  const conversations = parseExactJson(read('conversations.json')) as Readonly<Record<string, Conversation>>;
  const chats = JSON.parse(read('recorded_chats.json')) as Readonly<Record<string, Readonly<Record<string, Recorded>>>>;

  it(`${expressions.length} small sources write what Jinja2 writes, and fail where it fails`, async () => {
    for (const { source, ...recorded } of expressions) {
      await hold(JSON.stringify(source), recorded, () => new Template(source).render(variables, now));
    }
  });

  it('every template was recorded with every conversation', () => {
    const names = readdirSync(join(DATA, 'templates')).map((name) => name.replace('.jinja', ''));
    expect(names.sort()).to.deep.equal(Object.keys(chats).sort());
    for (const recorded of Object.values(chats))
      expect(Object.keys(recorded)).to.deep.equal(Object.keys(conversations));
  });

  for (const [template, recorded] of Object.entries(chats)) {
    it(`${template} writes every conversation as Jinja2 does`, async () => {
      const tokens = { bos_token: '<s>', eos_token: '</s>', pad_token: '<pad>' };
      const templates = new ChatTemplates(new Map([['default', read(`templates/${template}.jinja`)]]), tokens);
      for (const [name, { messages, ...given }] of Object.entries(conversations)) {
        const {
          tools,
          documents,
          variables: more,
          add_generation_prompt: asks,
          continue_final_message: continues,
        } = given;
        const options = {
          tools,
          documents,
          variables: more,
          addGenerationPrompt: asks,
          continueFinalMessage: continues,
          now,
        };
        await hold(name, recorded[name]!, () => templates.render(messages, options));
      }
    });
  }
});
