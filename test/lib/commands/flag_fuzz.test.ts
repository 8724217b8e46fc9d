/** Every number of a command line, replaced by what nobody means: refused by name, or done; never without end. */
import { expect } from 'chai';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '../../../base/coded_error.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { launchPlan } from '../../../lib/commands/launch.js';
import { runCommand } from '../../../lib/commands/parser.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { ODD, withOption, type Line } from '../../kit/processes/odd_flags.js';

const BENCHES: readonly Line[] = [
  [
    ['bench', 'codec', '--hidden', '8', '--tokens', '4', '--repeats', '1', '--warm-up-ms', '0'],
    ['hidden', 'tokens', 'seed'],
  ],
  [
    ['bench', 'eplb', '--layers', '2', '--experts', '8', '--slots', '8', '--ranks', '2', '--windows', '3'],
    ['layers', 'experts', 'slots', 'ranks', 'windows', 'seed'],
  ],
  [
    ['bench', 'compute', '--decode-tokens', '0', '--hidden', '4'],
    ['hidden', 'intermediate', 'experts', 'topk', 'tokens', 'matmul'],
  ],
  [
    ['bench', 'dispatch', '--ranks', '2', '--iterations', '1'],
    ['ranks', 'tokens', 'hidden', 'topk', 'experts', 'messages'],
  ],
  [
    ['bench', 'generate', '--ranks', '1'],
    ['ranks', 'batches', 'prompt-tokens', 'new-tokens', 'repeats'],
  ],
  [
    ['bench', 'balance'],
    ['ranks', 'slots', 'prompts', 'prompt-tokens', 'new-tokens', 'rounds'],
  ],
];

async function runAll(args: readonly string[], options: readonly string[], values: readonly string[]): Promise<void> {
  for (const option of options) {
    for (const value of values) {
      const line = withOption(args, option, value);
      const story = line.join(' ').slice(0, 200);
      try {
        await runCommand(line, commandContext());
      } catch (error) {
        expect(
          error instanceof UsageError || error instanceof CodedError,
          `${story}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
        ).to.equal(true);
        expect((error as Error).message, story).not.to.match(/please report|undefined/);
      }
    }
  }
}

describe('a number on a command line that nobody means', function () {
  this.timeout(120_000);

  it('of plan is refused or planned', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'load.json');
      await writeFile(file, JSON.stringify({ weight: Array.from({ length: 3 }, () => [9, 4, 2, 1, 1, 1, 0, 0]) }));
      for (const planner of ['eplb', 'eplb_stable']) {
        const args = ['plan', '--load', file, '--ranks', '2', '--slots', '10', '--planner', planner];
        await runAll(args, ['ranks', 'slots', 'nodes', 'groups', 'move-cost'], [...ODD, '65535', '100000']);
      }
    });
  });

  it('of make-checkpoint is refused, or written in a moment', async () => {
    await withTempFolder(async (dir) => {
      const out = join(dir, 'out');
      const options = [
        'layers',
        'dense-layers',
        'hidden',
        'experts',
        'topk',
        'intermediate',
        'heads',
        'vocab',
        'seed',
        'max-shard-mib',
      ];
      for (const option of options) {
        const args = ['make-checkpoint', out, '--layers', '1', '--hidden', '8', '--vocab', '16', '--intermediate', '8'];
        for (const value of ODD) {
          await runAll(args, [option], [value]);
          await rm(out, { recursive: true, force: true });
        }
      }
      expect(await readdir(dir)).to.deep.equal([]);
    });
  });

  for (const [args, options] of BENCHES) {
    it(`of ${args.slice(0, 2).join(' ')} is refused, or measured in a moment`, async () => {
      await runAll(args, options, ODD);
    });
  }

  it('of launch is refused', () => {
    for (const name of ['nnodes', 'nodeRank', 'nprocPerNode'] as const) {
      for (const value of ODD.map(Number)) {
        const args = { command: [], head: '10.0.0.1:7077', nnodes: 2, nodeRank: 0, nprocPerNode: 1, [name]: value };
        try {
          launchPlan(args, {});
        } catch (error) {
          expect(error).to.be.instanceOf(UsageError);
        }
      }
    }
  });
});
