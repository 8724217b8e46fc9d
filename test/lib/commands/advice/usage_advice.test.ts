/** What was probably meant, on the real commands and their options. */
import { expect } from 'chai';
import { adviceOnCommand } from '../../../../lib/commands/advice/command_advice.js';
import { adviceOnOption } from '../../../../lib/commands/advice/option_advice.js';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { COMMANDS } from '../../../../lib/commands/commands.js';
import { runCommand } from '../../../../lib/commands/parser.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';

async function told(...args: readonly string[]): Promise<string> {
  const { message } = await errorOf(UsageError, () => runCommand(args, commandContext()));
  expect(message, 'one line').not.to.contain('\n');
  return message;
}

const NAMES = COMMANDS.map(({ name }) => name.split(' ')[0]!);

describe('advice on a command', () => {
  it('names the command that was meant: by a letter, by its beginning, or by what others call it', async () => {
    const meant: Readonly<Record<string, string>> = {
      ...{ srve: 'serve', sreve: 'serve', Serve: 'serve', gen: 'generate', scoer: 'score', doctr: 'doctor' },
      ...{ run: 'generate', eval: 'score', start: 'serve', benchmark: 'bench', 'make-chekpoint': 'make-checkpoint' },
      ...{ node: 'rank', 'make-checkpoints': 'make-checkpoint' },
    };
    for (const [given, command] of Object.entries(meant)) {
      expect(await told(given)).to.equal(`there is no command '${given}'; did you mean ${command}?`);
    }
  });

  it('misleads nobody where nothing is near, and lists what there is', () => {
    const without = NAMES.filter((name) => name !== 'serve');
    for (const given of ['serve', 'tokenize', 'x', '']) {
      const list = `there is no command '${given}'; there are: ${without.join(', ')}`;
      expect(adviceOnCommand(given, without)).to.equal(list);
    }
  });

  it('a folder is no command', async () => {
    expect(await told('models/moe-7m')).to.contain('expertwire generate --model models/moe-7m');
  });

  it('none: says so, and what the option is of', async () => {
    expect(await told()).to.equal('give a command; see expertwire --help');
    expect(await told('--hlep')).to.contain('did you mean --help?');
    expect(await told('--jsn', 'doctor')).to.contain('did you mean --json?');
  });
});

describe('advice on an option', () => {
  const LINES: readonly (readonly [line: string, ...words: readonly string[]])[] = [
    ['generate --modle x', 'no option --modle; did you mean --model?'],
    ['pull a/b --revison x', 'no option --revison; did you mean --revision?'],
    ['generate -model x', 'no option -model; did you mean --model?'],
    ['generate --top_k 3', 'did you mean --top-k?'],
    ['generate --max-tokens 3', 'did you mean --max-new-tokens?'],
    ['generate --n-predict=3', 'did you mean --max-new-tokens?'],
    ['generate --tensor-parallel-size 3', 'did you mean --ranks?'],
    ['generate --max-model-len 9', 'did you mean --set engine.max_model_len=VALUE?'],
    ['generate --port 80', '--port is an option of serve'],
    ['serve --max-choices 3', 'did you mean --set server.max_choices=VALUE?'],
    ['serve --prompt x', '--prompt is an option of generate'],
    ['generate --prmpt x --modell y', 'did you mean --prompt?', 'did you mean --model?'],
    ['generate --quux', 'no option --quux; expertwire generate --help lists what there is'],
    ['rank --haed x', 'did you mean --head?'],
    ['launch --nodes 2', 'did you mean --nnodes?'],
    ['launch generate --prompt x', './launch.sh -- generate'],
    ['doctor --jsn', 'did you mean --json?'],
    ['generate --prompt', '--prompt needs a value'],
    ['generate --prompt Call me', "'me' belongs to no option", 'in quotes'],
    ['generate models/moe-7m --prompt x', 'did you mean --model models/moe-7m?'],
    ['doctor now', "'now' belongs to no option"],
    ['plan --load x', '--ranks is missing'],
    ['make-checkpoint', 'expertwire make-checkpoint <dir>'],
    [
      'make-checkpoint x --family qwen3moe',
      "--family is 'qwen3moe' (did you mean qwen3_moe?); allowed is bailing_moe,",
    ],
    ['make-checkpoint x --family llama', "--family is 'llama'; allowed is"],
    ['native instal', "<action> is 'instal' (did you mean install?); allowed is install"],
    ['bench genrate', "no benchmark 'genrate'; did you mean generate?", 'there are: balance'],
    ['bench generate --rank 2', 'no option --rank; did you mean --ranks?'],
  ];

  for (const [line, ...words] of LINES) {
    it(line, async () => {
      const message = await told(...line.split(' '));
      for (const word of words) expect(message).to.contain(word);
    });
  }

  it('a number below zero and what follows two dashes are no options', async () => {
    expect(await told('generate', '--seed', '-1', '--modle', 'x')).to.equal(
      'there is no option --modle; did you mean --model?',
    );
    expect(await told('launch', '--nods', '2', '--', 'generate', '--modle')).to.not.contain('modle');
  });

  it('a slip of any letter of any option is told by the option', async () => {
    for (const { name, load } of COMMANDS) {
      const { optionNames } = await import('../../../../lib/commands/base/yargs_internals.js');
      const { default: yargs } = await import('yargs');
      const options = optionNames((await load()).options(yargs()));
      for (const option of options.filter(({ length }) => length > 4)) {
        const slip = `--${option.slice(0, 2)}${option.slice(3)}`;
        expect(adviceOnOption(slip, { name, options }), slip).to.match(/did you mean --/);
      }
    }
  });
});
