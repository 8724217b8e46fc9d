/** The command line as a user meets it: how far two models are apart. */
import { expect } from 'chai';
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { Processes, until } from '../../kit/processes/processes.js';
import { commandLine, expectFailure, expectSuccess, json } from '../../kit/processes/command_line.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();
const expertwire = commandLine(processes);
const QWEN = tinyModel('tiny-qwen3-moe');
const IDS = ['--ids', '5,9,1,20,17,33,8,26,4,12'];

/** Of files that have no name any more. */
function scratchBytesOf(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  const isScratch = (fd: string): boolean => linkOf(join(folder, fd)).endsWith('.scratch (deleted)');
  return readdirSync(folder)
    .filter(isScratch)
    .reduce((sum, fd) => sum + statSync(join(folder, fd)).size, 0);
}

/** Empty for what was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

describe('expertwire compare', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('tells what another type in memory costs, as an object, a table and a picture, and leaves nothing but these', async () => {
    await withTempFolder(async (dir) => {
      const [csv, yaml] = [join(dir, 'c.csv'), join(dir, 'b.yaml')];
      await writeFile(yaml, `model: ${QWEN}\nexperts: { resident: int8 }\n`);
      const args = ['compare', QWEN, yaml, ...IDS, '--output', csv, '--json'];
      const result = json(expectSuccess(await expertwire(args))) as {
        readonly kl_nats: number;
        readonly places: number;
        readonly layers: readonly { readonly hidden_error: number; readonly lens: { readonly kl_nats: number } }[];
        readonly a: { readonly resident_bytes: number };
        readonly b: { readonly resident_bytes: number };
      };
      expect(result.places).to.equal(10);
      expect(result.kl_nats).to.be.above(0).and.below(0.1);
      expect(result.layers.map(({ hidden_error: error }) => error > 0 && error < 0.1)).to.deep.equal([
        true,
        true,
        true,
      ]);
      expect(result.layers.at(-1)!.lens.kl_nats).to.be.closeTo(result.kl_nats, 1e-9);
      expect(result.b.resident_bytes).to.be.below(result.a.resident_bytes);
      const lines = (await readFile(csv, 'utf8')).trimEnd().split('\n');
      expect(lines.map((line) => line.split(',')[0])).to.deep.equal(['layer', 'all', '0', '1', '2']);
      expect((await readdir(dir)).sort()).to.deep.equal(['b.yaml', 'c.csv']);
    });
  });

  it('leaves nothing when Ctrl-C ends it while a model reads: no numbers that wait, no output, no rank', async () => {
    await withTempFolder(async (dir) => {
      const [text, scratch] = [join(dir, 'text'), join(dir, 'scratch')];
      await writeFile(text, 'Call me Ishmael. Some years ago, never mind how long precisely. '.repeat(4000));
      await mkdir(scratch);
      const args = ['compare', moe7m(), moe7m(), '--text', text, '--output', join(dir, 'c.svg')];
      const run = processes.cli(args, { env: { TMPDIR: scratch } });
      await until(
        () => scratchBytesOf(run.pid) > 0,
        () => `nothing was written beside ${scratch}; stderr: ${run.stderr}`,
      );
      run.signalGroup('SIGINT');
      expect(await run.ended).to.include({ code: 130, stdout: '' });
      await processes.allGone();
      expect((await readdir(dir)).sort()).to.deep.equal(['scratch', 'text']);
      expect(await readdir(scratch)).to.deep.equal([]);
    });
  });

  it('refuses what can’t be compared, before anything runs', async () => {
    await withTempFolder(async (dir) => {
      const [text, missing] = [join(dir, 'text.txt'), join(dir, 'none.txt')];
      await writeFile(text, 'a');
      for (const [args, words] of [
        [[QWEN, QWEN], 'give --text FILE or --ids'],
        [[QWEN, QWEN, '--text', text], 'neither A nor B has a tokenizer'],
        [[moe7m(), moe7m(), '--text', missing], "can't be read"],
        [[QWEN, QWEN, '--ids', '5'], 'less than 2 tokens'],
        [[QWEN, QWEN, ...IDS, '--output', join(dir, 'c.gif')], 'neither .svg'],
        [[QWEN, QWEN, ...IDS, '--lens-tokens', '-1'], '--lens-tokens'],
        [[QWEN, moe7m(), ...IDS], 'give two models of the same one'],
      ] as const) {
        const ended = await expertwire(['compare', ...args]);
        expectFailure(ended, 2, words);
      }
    });
  });
});
