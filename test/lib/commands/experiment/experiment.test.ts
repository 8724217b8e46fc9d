import { expect } from 'chai';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ToldError, type CommandContext } from '../../../../lib/commands/base/context.js';
import { experiment } from '../../../../lib/commands/experiment/experiment.js';
import type { ExperimentArgs } from '../../../../lib/commands/experiment/experiment_options.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import type { RunEnd } from '../../../../lib/experiment/base/run.js';
import { readRows } from '../../../../lib/experiment/runs/results_folder.js';
import { failed, ok, PlayedRunner, type Ends } from '../../../kit/experiment/played_runner.js';
import { tinyModel } from '../../../kit/paths.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const FILE = `
name: swept
base: { model: ${tinyModel('tiny-mixtral')} }
workload: { prompts: [{ token_ids: [5, 17, 3] }] }
measure: generate
sweep: { grid: { generate.max_new_tokens: [4, 5, 6] } }
baseline: { generate.max_new_tokens: 4 }
plots: [{ x: generate.max_new_tokens, y: output_tokens }]
`;

/** In a folder with the file: `run` is the command, whose runs end as `ends` says of their number of tokens. */
const withFile = (
  use: (
    run: (args: Partial<ExperimentArgs>, ends: Ends, context?: CommandContext) => Promise<readonly number[]>,
    output: string,
    file: string,
  ) => Promise<void>,
): Promise<void> =>
  withTempFolder(async (dir) => {
    const [file, output] = [join(dir, 'swept.yaml'), join(dir, 'results')];
    await writeFile(file, FILE);
    await use(
      async (args, ends, context = commandContext()) => {
        const runner = new PlayedRunner(ends, 1, 'generate.max_new_tokens');
        await experiment({ file, output, ...args }, context, () => runner);
        return runner.values;
      },
      output,
      file,
    );
  });

const measured = (value: number): RunEnd => {
  const end = ok(value);
  return end.status === 'ok' ? { ...end, result: { ...end.result, metrics: { output_tokens: value } } } : end;
};

describe('the command experiment', () => {
  it('does all runs, tells each and leaves rows, tables and a report; called again it does none', () =>
    withFile(async (run, output) => {
      const context = commandContext();
      expect(await run({}, measured, context)).to.deep.equal([4, 5, 6]);
      expect((await readRows(output)).map(({ metrics }) => metrics)).to.deep.equal(
        [4, 5, 6].map((value) => ({ output_tokens: value })),
      );
      const files = ['experiment.json', 'results.jsonl', 'results.csv', 'summary.csv', 'report.html', 'report.md'];
      expect(await readdir(output)).to.include.members([...files, 'runs']);
      expect(context.printed()).to.equal(`${join(output, 'report.html')}\n`);
      expect(context.told().trimEnd().split('\n')).to.have.length(3);
      expect(await run({}, measured)).to.deep.equal([]);
    }));

  it('prints the plan and leaves nothing where it is asked for that alone', () =>
    withFile(async (run, output) => {
      const context = commandContext();
      expect(await run({ dryRun: true }, measured, context)).to.deep.equal([]);
      expect(context.printed()).to.match(/^swept: 3 runs = 3 points/);
      expect((await readdir(join(output, '..'))).sort()).to.deep.equal(['swept.yaml']);
    }));

  it('its plan is of the runs that are wanted, and tells which failed', () =>
    withFile(async (run) => {
      const ends: Ends = (value) => (value === 5 ? failed('MEASURE_FAILED') : measured(value));
      await errorOf(ToldError, () => run({}, ends));
      const planned = async (args: Partial<ExperimentArgs>): Promise<string> => {
        const context = commandContext();
        await run({ dryRun: true, ...args }, measured, context);
        return context.printed().trimEnd().split('\n').at(-1)!;
      };
      expect(await planned({})).to.equal('All 3 runs are done, 1 failed (--retry-failed does it again).');
      expect(await planned({ only: ['generate.max_new_tokens=4'] })).to.equal('All 1 runs are done.');
      expect(await planned({ retryFailed: true })).to.match(/^1 run of 3 to do: about /);
    }));

  it('goes on after a run that failed, fails in the end, and does it again where it is told to', () =>
    withFile(async (run, output) => {
      const context = commandContext();
      const ends: Ends = (value) => (value === 5 ? failed('MEASURE_FAILED') : measured(value));
      await errorOf(ToldError, () => run({}, ends, context));
      expect(context.told()).to.match(
        /1 of 3 runs failed, the first with MEASURE_FAILED: played; mend it \(.*runs\/[0-9a-f]{16}\); --retry-failed/,
      );
      await errorOf(ToldError, () => run({}, measured));
      expect(await run({ retryFailed: true, only: ['generate.max_new_tokens=4'] }, measured)).to.deep.equal([]);
      expect(await run({ retryFailed: true }, measured)).to.deep.equal([5]);
      expect((await readRows(output)).map(({ status }) => status)).to.deep.equal(['ok', 'ok', 'ok']);
    }));

  it('does the runs that --only asks for', () =>
    withFile(async (run) => {
      expect(await run({ only: ['generate.max_new_tokens=6'] }, measured)).to.deep.equal([6]);
      expect(await run({}, measured)).to.deep.equal([4, 5]);
    }));

  it('interrupted, says how the rest is done', () =>
    withFile(async (run, output) => {
      const stopping = new AbortController();
      const context = commandContext(stopping.signal);
      const ends: Ends = (value) => {
        if (value === 5) stopping.abort(new Error('enough'));
        return value === 5 ? new Promise(() => undefined) : measured(value);
      };
      expect((await errorOf(Error, () => run({}, ends, context))).message).to.equal('enough');
      expect(context.told()).to.match(/\n1 of 3 runs are done; the same command goes on there\n$/);
      expect(await readdir(output)).to.have.members(['experiment.json', 'results.jsonl', 'runs']);
    }));

  it('begins nothing where the file is wrong', () =>
    withFile(async (run, output, file) => {
      await writeFile(file, (await readFile(file, 'utf8')).replace('y: output_tokens', 'y: output_token'));
      const error = await errorOf(ConfigError, () => run({}, measured));
      expect(error.message).to.match(/swept\.yaml:8: .*output_tokens/);
      expect(await readdir(join(output, '..'))).to.deep.equal(['swept.yaml']);
    }));
});
