import { expect } from 'chai';
import { candidates, type KnownCommands, type KnownLine } from '../../../../lib/commands/completion/candidates.js';
import { completionScript, SHELLS } from '../../../../lib/commands/completion/scripts.js';
import { runCommand } from '../../../../lib/commands/parser.js';
import { commandContext } from '../../../kit/processes/command_context.js';

const option = (name: string, type: 'boolean' | 'number' | 'string' = 'string', choices: readonly string[] = []) => ({
  ...{ name, type, choices, describe: `what ${name} is` },
  isList: name === 'set',
});
const LINE: KnownLine = {
  positionals: ['<action>'],
  options: [
    option('action', 'string', ['ls', 'clear']),
    ...[option('json', 'boolean'), option('url'), option('mode', 'string', ['stat', 'pass']), option('set')],
  ],
};
const KNOWN: KnownCommands = {
  commands: ['serve', 'score', 'bench', 'launch', 'kv'].map((word) => ({ word, describe: '' })),
  benchmarks: ['eplb', 'engine'].map((word) => ({ word, describe: '' })),
  command: (name) => Promise.resolve(name === 'kv' ? LINE : null),
  benchmark: (name) => Promise.resolve(name === 'eplb' ? LINE : null),
  keys: () =>
    new Map([
      ['engine.mla', ['auto', 'naive']],
      ['engine.seed', []],
    ]),
};

const words = async (...line: readonly string[]): Promise<string[]> =>
  (await candidates(line, KNOWN)).map(({ word }) => word);

async function asked(...line: readonly string[]): Promise<string[]> {
  const context = commandContext();
  await runCommand(['--ask-candidates', ...line], context);
  return context.printed().split('\n').slice(0, -1);
}

describe('what may come next in a line', () => {
  it('is a command first, then its values, and its options where a dash is typed', async () => {
    expect(await words('s')).to.deep.equal(['serve', 'score']);
    expect(await words('--v')).to.deep.equal(['--version']);
    expect(await words('kv', '')).to.deep.equal(['ls', 'clear']);
    expect(await words('kv', 'ls', '')).to.deep.equal([]);
    expect(await words('kv', '--json', 'c')).to.deep.equal(['clear']);
    expect(await words('kv', '--url', 'x', 'c')).to.deep.equal(['clear']);
    expect(await words('kv', '--')).to.deep.equal(['--json', '--url', '--mode', '--set']);
  });

  it('is no option that was given, but for those that may be given again', async () => {
    expect(await words('kv', '--url=x', '--json', '--set', 'a=1', '--')).to.deep.equal(['--mode', '--set']);
  });

  it('is a value of an option that has few, and a file of any other', async () => {
    expect(await words('kv', '--mode', '')).to.deep.equal(['stat', 'pass']);
    expect(await words('kv', '--mode=p')).to.deep.equal(['--mode=pass']);
    expect(await words('kv', '--url', 'x')).to.deep.equal([]);
  });

  it('is a key of the configuration behind --set, then its value', async () => {
    expect(await words('kv', '--set', 'engine.')).to.deep.equal(['engine.mla=', 'engine.seed=']);
    expect(await words('kv', '--set', 'engine.mla=n')).to.deep.equal(['engine.mla=naive']);
    expect(await words('kv', '--set=engine.mla=n')).to.deep.equal(['--set=engine.mla=naive']);
  });

  it('is a benchmark behind bench, a command behind help, and behind the dashes of launch', async () => {
    expect(await words('bench', 'e')).to.deep.equal(['eplb', 'engine']);
    expect(await words('bench', 'eplb', '--u')).to.deep.equal(['--url']);
    expect(await words('help', 'bench', 'ep')).to.deep.equal(['eplb']);
    expect(await words('launch', 'x.yaml', '--', 'kv', '--u')).to.deep.equal(['--url']);
    expect(await words('nothing', '--u')).to.deep.equal([]);
  });
});

describe('the answer to a shell', () => {
  it('has the real commands, options, choices, benchmarks and keys, with what each is', async () => {
    expect(await asked('gen')).to.deep.equal(['generate\tContinue prompts, streamed, and show what the experts did.']);
    expect(await asked('kv', '')).to.deep.equal(['ls\t', 'clear\t']);
    expect(await asked('bench', 'sc')).to.deep.equal(['scale\t', 'scenarios\t']);
    expect(await asked('bench', 'eplb', '--win')).to.deep.equal([
      '--windows\twindows: one plan less is made and judged',
    ]);
    expect(await asked('generate', '--record-mode', 's')).to.deep.equal(['stat\t']);
    expect(await asked('generate', '--set', 'comm.red')).to.deep.equal(['comm.reduce=\t']);
    expect(await asked('generate', '--set', 'comm.reduce=s')).to.deep.equal(['comm.reduce=source\t']);
    expect(await asked('generate', '--set', 'load_balance.enabled=')).to.deep.equal([
      'load_balance.enabled=true\t',
      'load_balance.enabled=false\t',
    ]);
    expect(await asked('measure', '--spaw'), 'not what help hides').to.deep.equal([]);
  });

  it('is asked for by the script of each shell', () => {
    for (const shell of SHELLS) expect(completionScript(shell)).to.contain('--ask-candidates');
  });
});
