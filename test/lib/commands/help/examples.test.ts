/** What help says of commands and benchmarks: each has examples, and each example is a line that the program takes. */
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import yargs from 'yargs';
import { BENCH_HELPS } from '../../../../bench/help/bench_helps.js';
import { runBench } from '../../../../bench/index.js';
import { ASK_OPTIONS, OptionsAsked } from '../../../../lib/commands/base/yargs_internals.js';
import { BENCH_NAMES } from '../../../../lib/commands/bench.js';
import { parseLine } from '../../../../lib/commands/command_line.js';
import type { Command } from '../../../../lib/commands/commands.js';
import type { Example } from '../../../../lib/commands/help/command_help.js';
import { COMMAND_HELPS } from '../../../../lib/commands/help/helps.js';
import { allCommands, runCommand } from '../../../../lib/commands/parser.js';
import { loadConfig } from '../../../../lib/config/load.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { moe7m, repoRoot } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { shellWords } from '../../../kit/processes/shell_words.js';

const COMMANDS = allCommands(commandContext());
const wordOf = ({ name }: Command): string => name.split(' ', 1)[0]!;

const EXAMPLES: readonly Example[] = [
  ...COMMANDS.flatMap((command) => COMMAND_HELPS[wordOf(command)]?.examples ?? []),
  ...BENCH_NAMES.flatMap((name) => BENCH_HELPS[name]?.examples ?? []),
];
const isBench = ({ line }: Example): boolean => line.startsWith('expertwire bench ');

/** Commands that are parsed and do nothing. */
const idle = (ran: string[]): Command[] =>
  COMMANDS.map((command) => ({
    ...command,
    load: async () => ({
      options: (await command.load()).options,
      run: () => {
        ran.push(wordOf(command));
        return Promise.resolve();
      },
    }),
  }));

describe('the examples of help', function () {
  this.timeout(30_000);

  it('are there for every command and every benchmark', () => {
    const lacking = COMMANDS.map(wordOf).filter((word) => (COMMAND_HELPS[word]?.examples.length ?? 0) === 0);
    expect(lacking).to.deep.equal([]);
    expect(BENCH_NAMES.filter((name) => (BENCH_HELPS[name]?.examples.length ?? 0) === 0)).to.deep.equal([]);
  });

  for (const { line } of EXAMPLES.filter((example) => !isBench(example))) {
    it(`${line}: is parsed`, async () => {
      const [program, command, ...args] = shellWords(line);
      expect(program).to.equal('expertwire');
      const ran: string[] = [];
      await parseLine([command!, ...args], idle(ran), commandContext());
      expect(ran).to.deep.equal([command]);
    });
  }

  for (const { line } of EXAMPLES.filter(isBench)) {
    it(`${line}: is parsed`, async () => {
      const [, , name, ...args] = shellWords(line);
      const { options } = await errorOf(OptionsAsked, () => runBench([name!, ASK_OPTIONS], commandContext()));
      const cli = yargs(args).strict().exitProcess(false);
      for (const { name: own, type, isList, choices } of options)
        cli.option(own, { type, ...(isList && { array: true }), ...(choices.length > 0 && { choices }) });
      await cli
        .fail((message, error) => {
          throw error instanceof Error ? error : new Error(message); // yargs passes undefined for its own checks
        })
        .parseAsync();
    });
  }

  it('name files of this package that are there, and keys of the configuration that there are', async () => {
    for (const { line } of EXAMPLES) {
      const words = shellWords(line);
      for (const word of words.filter((each) => /^(configs|models|examples)\//.test(each)))
        expect(existsSync(join(repoRoot(), word)), line).to.equal(true);
      const overrides = words.filter((_, i) => words[i - 1] === '--set');
      await loadConfig({ base: { model: moe7m() }, overrides });
    }
  });

  it('are said what they do, in a line that fits beside no other', () => {
    for (const { says, line } of EXAMPLES) {
      expect(says, line).to.match(/^[A-Z].*[^.:]$/);
      expect(line.length, line).to.be.below(120);
    }
  });

  it('run, where that costs nothing', async () => {
    const cheap = EXAMPLES.filter(({ line }) => /inspect models|completion bash|eplb --layers 3/.test(line));
    expect(cheap.length).to.be.above(2);
    for (const { line } of cheap) {
      const context = commandContext();
      const at = process.cwd();
      process.chdir(repoRoot());
      try {
        await runCommand(shellWords(line).slice(1), context);
      } finally {
        process.chdir(at);
      }
      expect(context.printed().length, line).to.be.above(200);
    }
  });
});

describe('documents that help names', () => {
  it('are there', () => {
    const lacking = COMMANDS.flatMap((command) => COMMAND_HELPS[wordOf(command)]?.see ?? []).filter(
      (path) => !existsSync(join(repoRoot(), path)),
    );
    expect(lacking).to.deep.equal([]);
  });
});
