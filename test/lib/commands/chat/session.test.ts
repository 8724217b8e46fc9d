import { expect } from 'chai';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import pc from 'picocolors';
import { ToldError, type CommandContext } from '../../../../lib/commands/base/context.js';
import { SharedTerminal } from '../../../../lib/commands/base/shared_terminal.js';
import { ChatTerminal } from '../../../../lib/commands/chat/chat_terminal.js';
import { Conversation } from '../../../../lib/commands/chat/conversation.js';
import { ChatError } from '../../../../lib/commands/chat/answers/errors.js';
import { ChatSession } from '../../../../lib/commands/chat/session.js';
import { said, thought, PlayedSource, type Act } from '../../../kit/chat/played_source.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { Screen } from '../../../kit/processes/screen.js';
import { TypedTerminal } from '../../../kit/processes/typed_terminal.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const [CTRL_C, CTRL_D] = ['\u0003', '\u0004'];
const PROMPT = '> ';

/** Begins a session; `ended` settles with it. */
function begun(
  context: CommandContext,
  source: PlayedSource,
  json = false,
): { readonly ended: Promise<void>; readonly terminal: SharedTerminal; readonly input: ChatTerminal } {
  const input = new ChatTerminal(context);
  const terminal = new SharedTerminal({ stdout: context.stdout, stderr: input.stderr });
  const isScreen = context.stdout.isTTY === true;
  const parts = { source, input, terminal, conversation: Conversation.begin(null), json, isScreen };
  const session = new ChatSession({ ...parts, colors: pc.createColors(isScreen), signal: context.signal });
  return { ended: session.run(), terminal, input };
}

/** A session at a terminal, which ends with Ctrl-D at the latest. */
async function typed(
  answers: readonly (readonly Act[])[],
  use: (at: TypedTerminal, source: PlayedSource) => Promise<void>,
): Promise<void> {
  const at = new TypedTerminal();
  const source = new PlayedSource(answers);
  const { ended } = begun(at.context, source);
  await at.shows(PROMPT);
  await use(at, source);
  at.types(CTRL_D);
  await ended;
  expect(at.isRaw, 'raw mode after the end').to.equal(false);
}

/** Asks, and waits for the answer and the next prompt. */
async function asks(at: TypedTerminal, question: string, answer: string): Promise<void> {
  at.types(`${question}\r`);
  await at.shows(`${answer}\n`);
  await at.shows(PROMPT);
}

/** Stops the answer that comes, and waits for the next prompt. */
async function stops(at: TypedTerminal): Promise<void> {
  at.types(CTRL_C);
  await at.shows('stopped\n');
  await at.shows(PROMPT);
}

const rolesAndTexts = (messages: PlayedSource['asked'][number] | undefined): string[] =>
  (messages ?? []).map(({ role, content }) => `${role}: ${String(content)}`);

describe('a chat at a terminal', () => {
  it('asks with all that was said before', () =>
    typed([[said('Hel'), said('lo')], [said('Bye')]], async (at, source) => {
      await asks(at, 'Hi', 'Hello');
      await asks(at, 'Go', 'Bye');
      expect(rolesAndTexts(source.asked[1])).to.deep.equal(['user: Hi', 'assistant: Hello', 'user: Go']);
    }));

  it('Ctrl-C stops the answer and not the session; what came of it was said', () =>
    typed([[said('Hel'), 'hang'], [said('Bye')]], async (at, source) => {
      at.types('Hi\r');
      await at.shows('Hel');
      await stops(at);
      await asks(at, 'Go', 'Bye');
      expect(rolesAndTexts(source.asked[1])).to.deep.equal(['user: Hi', 'assistant: Hel', 'user: Go']);
    }));

  it('an answer that was stopped before its first word was never asked for', () =>
    typed([[thought('hm'), 'hang'], [said('Bye')]], async (at, source) => {
      at.types('Hi\r');
      await at.shows('hm');
      await stops(at);
      await asks(at, 'Go', 'Bye');
      expect(rolesAndTexts(source.asked[1])).to.deep.equal(['user: Go']);
    }));

  it('Ctrl-C drops the line that is being typed, and twice on an empty one ends', async () => {
    const at = new TypedTerminal();
    const source = new PlayedSource([[said('x')]]);
    const { ended } = begun(at.context, source);
    await at.shows(PROMPT);
    at.types('not this');
    await at.shows('not this');
    at.types(CTRL_C);
    await at.shows('^C\n');
    await at.shows(PROMPT);
    at.types(CTRL_C);
    await at.shows('Ctrl-C again ends');
    await at.shows(PROMPT);
    at.types(CTRL_C);
    await ended;
    expect(source.asked).to.deep.equal([]);
    expect(at.isRaw).to.equal(false);
  });

  it('Ctrl-C after another answer is a first one again', () =>
    typed([[said('One'), 'hang'], [said('Bye')]], async (at) => {
      at.types('Hi\r');
      await at.shows('One');
      await stops(at);
      await asks(at, 'Go', 'Bye');
      at.types(CTRL_C);
      await at.shows('Ctrl-C again ends');
      await at.shows(PROMPT);
    }));

  it('what is typed while an answer comes is shown and asked after it, or dropped with it', () =>
    typed([[said('One'), 'hang'], [said('Two')]], async (at, source) => {
      at.types('Hi\r');
      await at.shows('One');
      at.types('dropped\rkept');
      await stops(at);
      await at.shows('kept');
      await asks(at, '', 'Two');
      expect(at.shown).to.not.contain('dropped');
      expect(rolesAndTexts(source.asked[1]).at(-1)).to.equal('user: kept');
    }));

  it('lines that are pasted are one question', () =>
    typed([[said('Yes')]], async (at, source) => {
      at.types('\u001b[200~/* a\rb */\r\u001b[201~');
      await at.shows('b */');
      await asks(at, 'c', 'Yes');
      expect(rolesAndTexts(source.asked[0])).to.deep.equal(['user: /* a\nb */\nc']);
    }));

  it('shows what the model thinks dimmed, before a blank line and the answer', () =>
    typed([[thought('hm'), thought(',\nwell'), said('Yes.')]], async (at) => {
      at.types('Hi\r');
      const { dim } = pc.createColors(true);
      await at.shows(`${dim('hm')}${dim(',')}\n${dim('well')}\n\nYes.\n`);
      await at.shows(PROMPT);
    }));

  it('shows nothing that the terminal would obey', () =>
    typed([[said('\u001b]0;x\u0007\u009b2J\ttab\r\n')]], async (at) => {
      at.types('Hi\r');
      await at.shows('\\u001b]0;x\\u0007\\u009b2J\ttab\n');
      await at.shows(PROMPT);
    }));

  it('what fails is told in one line, and the conversation is as it was', () =>
    typed(
      [[said('Hal'), new ChatError('SERVER_REFUSED', 'the server answered 429:\nslow down')], [said('Bye')]],
      async (at, source) => {
        at.types('Hi\r');
        await at.shows('Hal\nerror: the server answered 429:\\u000aslow down\n');
        await at.shows(PROMPT);
        at.types('Go\r');
        await at.shows('Bye\n');
        await at.shows(PROMPT);
        expect(rolesAndTexts(source.asked[1])).to.deep.equal(['user: Go']);
      },
    ));

  it('what ends the source of answers ends the session, also while nobody asks', async () => {
    const error = new ChatError('NO_SERVER', 'rank 1 is gone; start again');
    const [asking, waiting] = [new TypedTerminal(), new TypedTerminal()];
    const source = new PlayedSource([[said('x'), error]]);
    source.failure = error;
    const first = begun(asking.context, source);
    await asking.shows(PROMPT);
    asking.types('Hi\r');
    expect(await errorOf(ChatError, () => first.ended)).to.equal(error);
    const second = begun(waiting.context, source);
    await waiting.shows(PROMPT);
    second.input.fail(error);
    expect(await errorOf(ChatError, () => second.ended)).to.equal(error);
    expect([asking.isRaw, waiting.isRaw]).to.deep.equal([false, false]);
  });

  it('a notice takes the place of the prompt, which comes again with what was typed', async () => {
    const at = new TypedTerminal();
    const { ended, terminal } = begun(at.context, new PlayedSource([[said('x')]]));
    await at.shows(PROMPT);
    at.types('half');
    await at.shows('half');
    terminal.line('warning: rank 1 is slow');
    await at.shows('\u001b[0Jwarning: rank 1 is slow\n');
    await at.shows(PROMPT);
    await at.shows('half');
    at.types(`${CTRL_C}${CTRL_D}`);
    await ended;
  });

  it('ends where a signal ends the command, in the middle of an answer too', async () => {
    for (const isAsking of [false, true]) {
      const ending = new AbortController();
      const at = new TypedTerminal(ending.signal);
      const { ended } = begun(at.context, new PlayedSource([[said('One'), 'hang']]));
      await at.shows(PROMPT);
      if (isAsking) {
        at.types('Hi\r');
        await at.shows('One');
      }
      ending.abort();
      await ended;
      expect(at.isRaw).to.equal(false);
    }
  });
});

describe('the commands of a chat', () => {
  it('/system sets, shows and takes away what the model is told first', () =>
    typed([[said('ok')]], async (at, source) => {
      at.types('/system Be brief.\r');
      await at.shows('another one now\n');
      at.types('/system\r');
      await at.shows('\nBe brief.\n');
      at.types('Hi\r');
      await at.shows('ok\n');
      at.types('/system ""\r');
      await at.shows('no system message\n');
      at.types('/reset\r');
      await at.shows('forgotten\n');
      await asks(at, 'Go', 'ok');
      expect(source.asked.map(rolesAndTexts)).to.deep.equal([['system: Be brief.', 'user: Hi'], ['user: Go']]);
    }));

  it('/save writes what /load goes on with, over a conversation and nothing else', () =>
    withTempFolder(async (dir) => {
      const [file, other] = [join(dir, 'a.json'), join(dir, 'config.json')];
      await writeFile(other, '{"a": 1}\n');
      await typed([[said('Hello')]], async (at) => {
        at.types('Hi\r');
        await at.shows('Hello\n');
        at.types(`/save ${file}\r`);
        await at.shows(`saved 2 messages to ${file}\n`);
        at.types(`/save ${file}\r`);
        await at.shows(`saved 2 messages to ${file}\n`);
        at.types(`/save ${other}\r`);
        await at.shows(`error: ${other} is there already and no conversation; give another file\n`);
        at.types(`/save ${join(dir, 'no', 'a.json')}\r`);
        await at.shows("a.json can't be written (ENOENT");
        await at.shows(PROMPT);
      });
      await typed([[said('Bye')]], async (at, source) => {
        at.types(`/load ${other}\r`);
        await at.shows('is no conversation');
        at.types(`/load ${file}\r`);
        await at.shows(`2 messages from ${file}\n`);
        at.types('Go\r');
        await at.shows('Bye\n');
        await at.shows(PROMPT);
        expect(rolesAndTexts(source.asked[0])).to.deep.equal(['user: Hi', 'assistant: Hello', 'user: Go']);
      });
      expect(await readFile(other, 'utf8')).to.equal('{"a": 1}\n');
      expect((await readdir(dir)).sort()).to.deep.equal(['a.json', 'config.json']);
    }));

  it('/experts colours the last answer, or says why there is nothing to colour', () =>
    typed(
      [
        [
          said('ab'),
          {
            kind: 'routed',
            routed: {
              texts: ['a', 'b'],
              rows: [
                [[9], [9]],
                [[3], [5]],
              ],
            },
          },
        ],
      ],
      async (at, source) => {
        at.types('/experts\r');
        await at.shows('error: no answer has come yet');
        at.types('Hi\r');
        await at.shows('ab\n');
        at.types('/experts 1\r');
        await at.shows('MoE layer 1 of 0 … 1');
        await at.shows('■ expert 5 ×1');
        at.types('/experts 2\r');
        await at.shows('error: the model has MoE layers 0 … 1');
        at.types('/experts x\r');
        await at.shows('error: the model has MoE layers 0 … 1');
        source.noExperts = 'http://x tells no experts';
        at.types('/experts\r');
        await at.shows('error: http://x tells no experts\n');
        await at.shows(PROMPT);
      },
    ));

  it('/quit ends', async () => {
    const at = new TypedTerminal();
    const { ended } = begun(at.context, new PlayedSource([[said('x')]]));
    await at.shows(PROMPT);
    at.types('/quit\r');
    await ended;
  });
});

describe('a chat over a pipe', () => {
  /** What is on both outputs after all lines, and what the session's end threw. */
  async function piped(
    lines: string,
    answers: readonly (readonly Act[])[],
    json = false,
  ): Promise<{ out: string; err: string; error: unknown; source: PlayedSource }> {
    const [out, err] = [new Screen(), new Screen()];
    const stdin = new PassThrough();
    const context = { ...commandContext(), stdin, stdout: out.output(false), stderr: err.output(false) };
    const source = new PlayedSource(answers);
    const { ended } = begun(context, source, json);
    stdin.end(lines);
    const error: unknown = await ended.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    return { out: out.shown, err: err.shown, error, source };
  }

  it('answers each line, without a prompt, colours or thoughts', async () => {
    const { out, err, error, source } = await piped('Hi\n\nGo', [[thought('hm'), said('Hello')], [said('Bye\n')]]);
    expect([out, err, error]).to.deep.equal(['Hello\nBye\n', '', null]);
    expect(source.asked).to.have.length(2);
  });

  it('loses no line of many', async () => {
    const lines = Array.from({ length: 2000 }, (_, i) => `${i}`);
    const { source } = await piped(lines.map((line) => `${line}\n`).join('/reset\n'), [[said('x')]]);
    expect(source.asked.map((messages) => messages.at(-1)!.content)).to.deep.equal(lines);
  });

  it('goes on after what fails, and then fails as a whole', async () => {
    const failing = new ChatError('ANSWER_BROKEN', 'cut');
    const { out, err, error } = await piped('Hi\n/bogus\nGo\n', [[failing], [said('Bye')]]);
    expect(out).to.equal('\nBye\n');
    expect(err).to.match(/^error: cut\nerror: there is no \/bogus; .*\n$/);
    expect(error).to.be.instanceOf(ToldError);
  });

  it('--json prints an object for each answer and nothing else', async () => {
    const { out } = await piped('Hi\nGo\n', [[thought(' hm '), said('Hello')], [said('Bye')]], true);
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(lines).to.deep.equal([
      { question: 'Hi', text: 'Hello', thinking: 'hm', finish_reason: 'stop' },
      { question: 'Go', text: 'Bye', finish_reason: 'stop' },
    ]);
  });

  it('SIGINT stops the answer and goes on; a second one ends, unless an answer came to its end between them', async () => {
    let interrupt: () => boolean = () => expect.fail('nobody listens');
    const [out, err] = [new Screen(), new Screen()];
    const stdin = new PassThrough();
    const takeInterrupts = (taker: () => boolean): (() => void) => {
      interrupt = taker;
      return () => undefined;
    };
    const context = {
      ...commandContext(),
      stdin,
      stdout: out.output(false),
      stderr: err.output(false),
      takeInterrupts,
    };
    const until = async (screen: Screen, text: string): Promise<void> => {
      while (!screen.shown.includes(text)) await new Promise<void>((resolve) => (screen.onText = () => resolve()));
    };
    const { ended } = begun(context, new PlayedSource([[said('One'), 'hang'], [said('Two')], [said('Three'), 'hang']]));
    stdin.write('a\nb\nc\n');
    await until(out, 'One');
    expect(interrupt()).to.equal(true);
    await until(out, 'Three');
    expect(interrupt()).to.equal(true);
    await until(err, 'stopped\nstopped\n');
    expect(interrupt()).to.equal(false);
    stdin.end();
    await ended;
    expect(out.shown).to.equal('One\nTwo\nThree\n');
  });
});
