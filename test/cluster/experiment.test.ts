/** Experiments as a user meets them: killed at any moment, they go on. */
import { expect } from 'chai';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Experiment } from '../../lib/experiment/base/experiment.js';
import type { ResultRow } from '../../lib/experiment/base/run.js';
import { readRows } from '../../lib/experiment/runs/results_folder.js';
import { expectFailure } from '../kit/processes/command_line.js';
import { Processes, until, type Running } from '../kit/processes/processes.js';
import { tinyModel } from '../kit/paths.js';
import { withTempFolder } from '../kit/temp_folder.js';

const processes = new Processes();

const SIMULATED = `
measure: simulation
workload: { load: drift, layers: 2, experts: 16, windows: 4 }
sweep:
  grid:
    parallel.ranks: [2, 4]
    experts.num_redundant_experts: [0, 4]
seeds: [1, 2, 3]
parallel: 2
timeout_s: 60
`;
const NUM_SIMULATED = 12;

const GENERATED = `
base: { model: ${tinyModel('tiny-mixtral')}, parallel: { ranks: 2 }, generate: { max_new_tokens: 4 } }
workload: { prompts: [{ token_ids: [5, 17, 3] }] }
measure: generate
repeats: 2
timeout_s: 60
`;

/** What follows from the file: everything but times. */
async function countsIn(output: string): Promise<readonly object[]> {
  const { metrics } = JSON.parse(await readFile(join(output, 'experiment.json'), 'utf8')) as Experiment;
  const exact = Object.keys(metrics).filter((name) => metrics[name]!.kind !== 'time');
  const rows = (await readRows(output)).toSorted((a, b) => a.index - b.index);
  return rows.map(({ id, index, round, point, seed, repeat, status, error, config, metrics: own }) => {
    const counts = Object.fromEntries(exact.map((name) => [name, own[name]]));
    return { id, index, round, point, seed, repeat, status, error, config, counts };
  });
}

describe('expertwire experiment', function () {
  this.timeout(240_000);

  afterEach(processes.expectNone);

  const start = (file: string, output: string): Running =>
    processes.cli(['experiment', file, '--output', output], { env: { TMPDIR: process.env.TMPDIR ?? '/tmp' } });

  const runTo = async (file: string, output: string): Promise<void> => {
    const { code, stderr } = await start(file, output).ended;
    expect(code, stderr).to.equal(0);
  };

  const numBegun = (output: string): number =>
    existsSync(join(output, 'runs')) ? readdirSync(join(output, 'runs')).length : 0;

  it('killed again and again, has the rows of an unbroken one in the end, and does nothing twice that was done', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'sweep.yaml');
      await writeFile(file, SIMULATED);
      const [unbroken, broken] = [join(dir, 'unbroken'), join(dir, 'broken')];
      await runTo(file, unbroken);
      let before: readonly ResultRow[] = [];
      for (const moment of [1, 4, 9]) {
        const running = start(file, broken);
        await until(
          () => numBegun(broken) >= moment,
          () => running.stderr,
        );
        running.signal('SIGKILL');
        const rows = await readRows(broken);
        expect(rows).to.deep.include.members([...before]);
        before = rows;
      }
      await runTo(file, broken);
      const rows = await readRows(broken);
      expect(rows).to.deep.include.members([...before]);
      expect(rows).to.have.length(NUM_SIMULATED);
      expect(await countsIn(broken)).to.deep.equal(await countsIn(unbroken));
    }));

  it('leaves no rank behind when it is killed or interrupted; runs of a seed agree in tokens and routing', () =>
    withTempFolder(async (dir) => {
      const [file, output] = [join(dir, 'generated.yaml'), join(dir, 'results')];
      await writeFile(file, GENERATED);
      const areRanksThere = (): boolean => processes.running().some(({ argv }) => argv.includes('rank'));
      for (const signal of ['SIGKILL', 'SIGINT'] as const) {
        const running = start(file, output);
        await until(areRanksThere, () => running.stderr);
        running.signal(signal);
        const { code, stderr } = await running.ended;
        await processes.allGone();
        if (signal === 'SIGINT') {
          expect(code).to.equal(130);
          expect(stderr).to.match(/ of 2 runs are done; the same command goes on there\n$/);
        }
      }
      await runTo(file, output);
      const rows = await readRows(output);
      expect(rows).to.have.length(2);
      for (const name of ['tokens_sha256', 'routing_sha256']) {
        expect(new Set(rows.map(({ metrics }) => metrics[name])), name).to.have.length(1);
      }
    }));

  it('refuses a folder in which another process writes, and a file with a typo before anything is begun', () =>
    withTempFolder(async (dir) => {
      const [file, output] = [join(dir, 'sweep.yaml'), join(dir, 'results')];
      await writeFile(file, SIMULATED);
      const running = start(file, output);
      await until(
        () => numBegun(output) > 0,
        () => running.stderr,
      );
      expectFailure(await start(file, output).ended, 1, /FOLDER_IN_USE: process \d+ of .* writes into/);
      running.signal('SIGINT');
      await running.ended;
      await writeFile(file, SIMULATED.replace('windows', 'window'));
      expectFailure(await start(file, join(dir, 'other')).ended, 2, /sweep\.yaml:3: .*window/);
      expect(readdirSync(dir)).to.have.members(['sweep.yaml', 'results']);
    }));
});
