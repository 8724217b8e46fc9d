import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BENCH_NAMES } from '../../../../lib/commands/bench.js';
import { COMMANDS } from '../../../../lib/commands/commands.js';
import { entryLines, helpWidth, wrapped } from '../../../../lib/commands/help/layout.js';
import { topHelp } from '../../../../lib/commands/help/top_help.js';
import { runCommand } from '../../../../lib/commands/parser.js';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { errorOf } from '../../../kit/rejects.js';
import { repoRoot } from '../../../kit/paths.js';
import { commandContext } from '../../../kit/processes/command_context.js';

async function told(...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runCommand(args, context);
  return context.printed();
}

/** Files and packages that a compiled module loads at once, itself included. */
function loadedWith(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, name] of text.matchAll(/^(?:import|export) (?:[^'"=;]*? from )?['"]([^'"]+)['"];$/gm)) {
    if (name!.startsWith('.')) loadedWith(join(file, '..', name!), seen);
    else if (!name!.startsWith('node:')) seen.add(name!);
  }
  return seen;
}

describe('expertwire --help', () => {
  it('lists all commands, each under a heading', async () => {
    const text = await told('--help');
    for (const name of [...COMMANDS.map((command) => command.name), 'bench [NAME]', 'launch [config]'])
      expect(
        text.split('\n').filter((line) => line.startsWith(`  ${name} `)),
        name,
      ).to.have.length(1);
    expect(text).not.to.contain('More:');
  });

  it('is what -h and help print too, and help COMMAND is COMMAND --help', async () => {
    expect(await told('-h')).to.equal(await told('--help'));
    expect(await told('help')).to.equal(await told('--help'));
    const { message } = await errorOf(UsageError, () => runCommand(['help', 'sevre'], commandContext()));
    expect(message).to.contain('did you mean serve?');
  });

  it('loads no library, so it comes at once', () => {
    const of = (name: string): string => join(repoRoot(), 'dist', `${name}.js`);
    const seen = new Set<string>();
    for (const name of ['lib/cli', 'lib/commands/parser', 'lib/commands/help/top_help']) loadedWith(of(name), seen);
    expect([...seen].filter((each) => !each.startsWith('/'))).to.deep.equal([]);
    expect(seen.size).to.be.below(20);
  });

  it('lists a command that no heading names under More', () => {
    expect(topHelp([{ name: 'new <x>', describe: 'A new one.' }], 80)).to.contain('More:\n  new <x>     A new one.');
  });
});

describe('expertwire bench --help', () => {
  it('lists all benchmarks, and says of each what it is', async () => {
    const lines = (await told('bench', '--help')).split('\n');
    for (const name of BENCH_NAMES)
      expect(
        lines.filter((line) => new RegExp(`^  ${name} {2,}\\S.+\\.?$`).test(line)),
        name,
      ).to.have.length(1);
  });
});

describe('the layout of help', () => {
  it('keeps lines within its width, and a longer word whole', () => {
    expect(wrapped('one two three', 9, 2)).to.deep.equal(['  one two', '  three']);
    expect(wrapped('a unbreakable', 4)).to.deep.equal(['a', 'unbreakable']);
    expect(wrapped('', 9)).to.deep.equal(['']);
  });

  it('puts what a name means beside it, in as many lines as it takes', () => {
    expect(entryLines([['ab', 'one two three']], 4, 16)).to.deep.equal(['  ab    one two', '        three']);
  });

  it('is as wide as the terminal, up to 120 columns', () => {
    expect([helpWidth({ columns: 60 }), helpWidth({ columns: 300 }), helpWidth({})]).to.deep.equal([60, 120, 100]);
  });
});
