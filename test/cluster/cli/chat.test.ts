/** A conversation over a pipe, with an engine and with a server: real processes and real signals. A terminal is played in test/lib/commands/chat/session.test.ts. */
import { expect } from 'chai';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { changeJson, copyModel } from '../../kit/model/model_copy.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { expectFailure, expectSuccess, json } from '../../kit/processes/command_line.js';
import { Processes, type Ended, type Running } from '../../kit/processes/processes.js';
import { withPlayedServer } from '../../kit/serve/played_server.js';
import { ServedJob } from '../../kit/server/served_job.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();

const OWN = ['--model', moe7m()];
const GREEDY = ['--temperature', '0', '--max-new-tokens', '12', '--ignore-eos'];
const LONG = ['--temperature', '0', '--max-new-tokens', '400', '--ignore-eos'];

const begin = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Running =>
  processes.cli(['chat', ...args], { hasInput: true, env });

/** Enters lines and ends the input. */
function chat(
  args: readonly string[],
  lines: readonly string[],
  env?: Readonly<Record<string, string>>,
): Promise<Ended> {
  const running = begin(args, env);
  running.types(lines.map((line) => `${line}\n`).join(''));
  running.endInput();
  return running.ended;
}

describe('expertwire chat', function () {
  this.timeout(60_000);
  afterEach(processes.expectNone);

  it('answers over a pipe with two ranks as a server does, all turns and the experts', async () => {
    const lines = ['/system In the beginning', 'Call me Ishmael.', 'And God said', '/experts 2'];
    const own = await chat([...OWN, ...GREEDY, '--ranks', '2'], lines);
    const served = await ServedJob.start({ model: moe7m(), ranks: 1 });
    try {
      const asked = await chat(
        ['--url', served.url, ...GREEDY.slice(0, 4), '--extra-body', '{"ignore_eos": true}'],
        lines,
      );
      expect(asked.stdout).to.equal(own.stdout);
      expect(own.stdout).to.match(
        /\nMoE layer 2 of 0 … 2: each token by its first expert\n[^]*\[\d+\][^]*expert \d+ ×/,
      );
      expect([own.code, asked.code]).to.deep.equal([0, 0]);
    } finally {
      await served.close();
    }
  });

  it('thoughts that the prompt begins are told as such, by an engine and by a server', () =>
    withTempFolder(async (dir) => {
      await copyModel(moe7m(), dir);
      const chat_template = '{{ messages[-1].content }}{% if add_generation_prompt %}<think>\n{% endif %}';
      await changeJson(join(dir, 'tokenizer_config.json'), { chat_template });
      const args = [...GREEDY.slice(0, 4), '--json'];
      const own = await chat(['--model', dir, ...args, '--ignore-eos'], ['Call me']);
      const served = await ServedJob.start({ model: dir, ranks: 1 });
      try {
        const asked = await chat(
          ['--url', `${served.url}/v1`, ...args, '--extra-body', '{"ignore_eos": true}'],
          ['Call me'],
        );
        expect(asked.stdout).to.equal(own.stdout);
        expect(json(own.stdout)).to.have.property('thinking').that.is.not.equal('');
        expect(json(own.stdout)).to.have.property('text', '');
      } finally {
        await served.close();
      }
    }));

  it('the configuration says what the model is told first, unless --system or a saved conversation does', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'a.json');
      await writeFile(file, '[{"role": "system", "content": "of the file"}]');
      const configured = [...OWN, '--set', 'generate.system=of the configuration'];
      const told = async (...args: readonly string[]): Promise<string> =>
        (await chat([...configured, ...args], ['/system'])).stdout;
      expect(await told()).to.equal('of the configuration\n');
      expect(await told('--load', file)).to.equal('of the file\n');
      expect(await told('--load', file, '--system', 'of the flag')).to.equal('of the flag\n');
      expect(await told('--system', '')).to.equal('(none)\n');
    }));

  it('--load goes on where /save stopped, with the same answer as one session', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'a.json');
      const args = [...OWN, ...GREEDY, '--json'];
      const whole = await chat(args, ['Call me', `/save ${file}`, 'And God']);
      const rest = await chat([...args, '--load', file], ['And God']);
      const [first, second] = whole.stdout.trimEnd().split('\n').map(json);
      expect(json(rest.stdout)).to.deep.equal(second);
      expect(first).to.include({ question: 'Call me', finish_reason: 'length' });
      expect(await readdir(dir)).to.deep.equal(['a.json']);

      const asked = await chat(args, [`/load ${file}`, 'And God', `/save ${file}`]);
      const messages = JSON.parse(await readFile(file, 'utf8')) as object[];
      await writeFile(file, JSON.stringify(messages.slice(0, -1))); // up to the question
      const generated = await processes.cli(['generate', ...OWN, ...GREEDY, '--messages', file]).ended;
      expect(expectSuccess(generated)).to.equal(`${String(json(asked.stdout).text)}\n`);
    }));

  it('SIGINT stops an answer of real ranks, and the session answers the next line', async () => {
    const running = begin([...OWN, ...LONG]);
    running.types('Call me\n');
    await running.prints(/\S/);
    running.signalGroup('SIGINT');
    await running.warns('stopped\n');
    running.types('/reset\n/system\n');
    await running.prints('(none)\n');
    running.types('And God said\n');
    await running.warns('cut off');
    running.endInput();
    const { code, stdout } = await running.ended;
    expect(code).to.equal(0);
    expect(stdout.split('(none)\n')[1]!.trim()).to.not.equal('');
  });

  it('a second SIGINT ends it with 130, and no rank stays', async () => {
    const running = begin([...OWN, ...LONG]);
    running.types('Call me\n');
    await running.prints(/\S/);
    running.signalGroup('SIGINT');
    await running.warns('stopped\n');
    running.signalGroup('SIGINT');
    expect((await running.ended).code).to.equal(130);
  });

  it('SIGTERM ends it in the middle of an answer', async () => {
    const running = begin([...OWN, ...LONG]);
    running.types('Call me\n');
    await running.prints(/\S/);
    running.signal('SIGTERM');
    expect((await running.ended).code).to.equal(143);
  });

  it('SIGINT stops the answer of a server, which hears of it', () =>
    withPlayedServer(
      (_asked, index) =>
        index === 0
          ? { kind: 'stream', chunks: Array.from({ length: 100_000 }, () => 'x'), gapMs: 1 }
          : { kind: 'stream', chunks: ['Bye'] },
      async ({ url, asked }) => {
        const running = begin(['--url', url]);
        running.types('Hi\n');
        await running.prints('x');
        running.signalGroup('SIGINT');
        await running.warns('stopped\n');
        running.types('Go\n');
        await running.prints('Bye');
        running.endInput();
        expect((await running.ended).code).to.equal(0);
        const { messages } = asked[1]!.body as { messages: readonly { role: string; content: string }[] };
        expect(messages.map(({ role }) => role)).to.deep.equal(['user', 'assistant', 'user']);
        expect(messages[1]!.content).to.match(/^x+$/);
      },
    ));

  it('tells in one line what a server says, goes on, and fails in the end', () =>
    withPlayedServer(
      (_asked, index) =>
        index === 0 ? { kind: 'status', status: 429, message: 'slow\ndown' } : { kind: 'stream', chunks: ['Bye'] },
      async ({ url, asked }) => {
        const ended = await chat(['--url', url], ['Hi', 'Go'], { OPENAI_API_KEY: 'secret' });
        expect(ended).to.include({
          code: 1,
          stdout: '\nBye\n',
          stderr:
            'error: the server answered 429: slow\\u000adown\ncut off: the context or --max-new-tokens allows no more\n',
        });
        expect(asked.map(({ authorization }) => authorization)).to.deep.equal(['Bearer secret', 'Bearer secret']);
      },
    ));

  it('a server that is not there, and a key that no header can carry, are told before anything is read', async () => {
    expectFailure(
      await chat(['--url', 'http://127.0.0.1:1'], ['Hi']),
      1,
      "NO_SERVER: http://127.0.0.1:1 doesn't answer",
      'ECONNREFUSED',
    );
    const ended = await chat(['--url', 'http://127.0.0.1:1'], ['Hi'], { OPENAI_API_KEY: 'a b' });
    expectFailure(ended, 2, 'OPENAI_API_KEY has a key with a space');
  });

  it('mistakes in calling it are told plainly', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'a.json');
      await writeFile(file, '{"a": 1}');
      const calls: readonly [readonly string[], 1 | 2, string][] = [
        [['--url', 'x', '--ranks', '2'], 2, '--ranks is for an engine of your own'],
        [['--url', 'localhost:8000'], 2, 'is no address of a server'],
        [[...OWN, '--extra-body', '{}'], 2, '--extra-body is for a server'],
        [[...OWN, '--load', file], 1, `${file} is no conversation`],
        [[...OWN, '--load', join(dir, 'no')], 1, "can't be read (ENOENT"],
        [['--model', tinyModel('tiny-qwen3-moe')], 2, 'has no tokenizer, and a chat is text'],
        [[...OWN, '--set', 'generate.chat_template=rag'], 2, 'no chat template "rag"; it has default'],
        [[], 2, 'MISSING_KEY'],
      ];
      for (const [args, code, words] of calls) expectFailure(await chat(args, []), code, words);
    }));

  it('a line that the context has no room for is told with what to do, and the next one is answered', async () => {
    const ended = await chat([...OWN, ...GREEDY, '--json'], ['word '.repeat(600), 'Call me']);
    expect(ended.stderr).to.match(
      /^error: the conversation has \d+ tokens, and there is room for 512 with the answer; \/reset forgets it\n/,
    );
    expect(json(ended.stdout)).to.include({ question: 'Call me' });
    expect(ended.code).to.equal(1);
  });

  it('help and an empty input do nothing and end well', async () => {
    expect(expectSuccess(await chat(OWN, []))).to.equal('');
    expect(expectSuccess(await chat(OWN, ['', '/quit', 'Hi']))).to.equal('');
  });
});
