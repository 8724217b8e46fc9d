/** The command line as a user meets it: mistakes are told plainly. */
import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { Processes, type Ended } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { commandLine, inPairs, expectFailure } from '../../kit/processes/command_line.js';

const processes = new Processes();
const expertwire = commandLine(processes);
const QWEN = tinyModel('tiny-qwen3-moe');

describe('a mistake in a command line', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const PROMPT = ['--model', moe7m(), '--prompt', 'Call me'];
  const LISTEN = ['--listen', '127.0.0.1:0'];
  const USAGE: readonly [string, readonly string[], ...(string | RegExp)[]][] = [
    ['no command', [], 'give a command'],
    ['an unknown command', ['generat'], 'did you mean generate?'],
    ['an unknown flag', ['generate', '--modle', 'x'], 'modle', 'did you mean --model?'],
    ['a missing model folder', ['generate', '--model', 'nowhere', '--prompt', 'x'], 'NOT_FOUND', 'nowhere'],
    ['no model', ['generate', '--prompt', 'x'], 'MISSING_KEY', '"model"'],
    ['a missing configuration', ['generate', '--config', 'no.yaml'], 'NOT_FOUND', 'no.yaml'],
    [
      'an unknown key',
      ['generate', ...PROMPT, '--set', 'comm.redcue=rank'],
      'UNKNOWN_KEY',
      'did you mean "comm.reduce"?',
    ],
    [
      'a value of a wrong type',
      ['generate', ...PROMPT, '--set', 'parallel.ranks=two'],
      'WRONG_TYPE',
      'parallel.ranks',
      '"two"',
    ],
    ['an impossible value', ['generate', ...PROMPT, '--placement', 'random'], 'INVALID_VALUE', 'linear, round_robin'],
    ['no prompt', ['generate', '--model', moe7m()], 'no prompt'],
    ['an empty prompt', ['generate', '--model', moe7m(), '--prompt', ''], 'prompt is empty'],
    ['a missing prompt file', ['generate', '--model', moe7m(), '--prompts', 'no.txt'], '--prompts no.txt'],
    [
      'a prompt that is too long',
      ['generate', ...PROMPT, '--max-new-tokens', '512'],
      'CONTEXT_LENGTH_EXCEEDED',
      /\b512 new/,
    ],
    [
      'text for a model without tokenizer',
      ['generate', '--model', QWEN, '--prompt', 'x'],
      'no tokenizer',
      '--prompt-ids',
    ],
    [
      'an id outside the vocabulary',
      ['generate', '--model', QWEN, '--prompt-ids', '1,96'],
      'INVALID_REQUEST',
      'token id 96',
      '95',
    ],
    ['what is not an id', ['generate', '--model', QWEN, '--prompt-ids', '1,x'], "'x' is not a token id"],
    [
      'ranks to wait for without an address',
      ['generate', ...PROMPT, '--wait-ranks', '1'],
      '--wait-ranks needs --listen',
    ],
    [
      'ranks to wait for without a secret',
      ['generate', ...PROMPT, '--wait-ranks', '1', ...LISTEN],
      'EXPERTWIRE_JOB_SECRET',
    ],
    ['a missing secret file', ['generate', ...PROMPT, '--secret-file', 'no.key'], '--secret-file no.key'],
    ['a malformed address', ['generate', ...PROMPT, '--listen', 'here'], "'here' is not HOST:PORT"],
    ['a checkpoint over another', ['make-checkpoint', QWEN], 'FOLDER_NOT_EMPTY', QWEN],
    ['a rank without a head', ['rank'], 'head'],
    ['a rank without a secret', ['rank', '--head', '127.0.0.1:1'], 'EXPERTWIRE_JOB_SECRET'],
    ['nothing to score', ['score', '--model', moe7m()], 'nothing to score'],
    ['what is no number', ['generate', ...PROMPT, '--max-new-tokens', 'abc'], '--max-new-tokens is not a number'],
    ['an option without its value', ['generate', '--model', QWEN, '--prompt'], '--prompt needs a value'],
    ['a command without the dashes', ['launch', 'generate', '--prompt', 'x'], './launch.sh -- generate'],
    ['a single token to score', ['score', '--model', QWEN, '--ids', '3'], 'at least 2'],
    ['two texts to score', ['score', '--model', QWEN, '--ids', '3,4', '--text', 'x'], 'mutually exclusive'],
    [
      'a rank with an unknown backend',
      ['rank', '--head', '127.0.0.1:1', '--backend', 'gpu'],
      "--backend is 'gpu'",
      'wasm or cpu',
    ],
    [
      'kernels beside another backend',
      ['generate', ...PROMPT, '--backend', 'cpu', '--set', 'compute=kernels'],
      'INVALID_VALUE',
      'kernels',
    ],
    [
      'int8 without kernels',
      ['score', '--model', QWEN, '--ids', '3,4', '--set', 'compute=tensors', '--set', 'experts.resident=int8'],
      'INVALID_VALUE',
      'int8',
    ],
    ['an unknown benchmark', ['bench', 'genrate'], "no benchmark 'genrate'"],
  ];
  let ends: readonly Ended[];
  before(
    async () =>
      (ends = await inPairs(
        expertwire,
        USAGE.map(([, args]) => args),
      )),
  );

  USAGE.forEach(([what, , ...words], i) => {
    it(`${what}: exit code 2 and what to do`, () => {
      expectFailure(ends[i]!, 2, ...words);
      expect(ends[i]!.stderr.trimEnd().split('\n'), 'a single line: no rank was started').to.have.length(1);
    });
  });

  it('a mistake in a YAML file is told with file, line and what was probably meant', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'run.yaml');
      await writeFile(file, `model: ${moe7m()}\ncomm:\n  time_out_ms: 5\n`);
      expectFailure(
        await expertwire(['generate', '--config', file]),
        2,
        'UNKNOWN_KEY',
        'run.yaml:3',
        'comm.timeout_ms',
      );
    });
  });
});
