/** What can't be written: one clear message that names the option, exit code 1, no stack, nothing left behind. */
import { expect } from 'chai';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OutputError } from '../../lib/commands/base/output_file.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { runCommand } from '../../lib/commands/parser.js';
import { moe7m } from '../kit/paths.js';
import { commandContext } from '../kit/processes/command_context.js';
import { CLI, Processes, withoutNews } from '../kit/processes/processes.js';
import { errorOf } from '../kit/rejects.js';
import { withTempFolder } from '../kit/temp_folder.js';

const processes = new Processes();
const GENERATE = ['generate', '--model', moe7m(), '--prompt', 'Call me', '--max-new-tokens', '2'];
const SCORE = ['score', '--model', moe7m(), '--ids', '1,2,3'];

describe('outputs that cannot be written', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const OPTIONS: readonly (readonly [option: string, command: readonly string[], ending: string])[] = [
    ['--trace', GENERATE, '.json'],
    ['--record', GENERATE, '.gz'],
    ['--plot', GENERATE, '.svg'],
    ['--logits', SCORE, '.npy'],
    ['--output', ['plan', '--ranks', '2'], '.json'],
    ['--plot', ['plan', '--ranks', '2'], '.html'],
  ];
  for (const [option, command, ending] of OPTIONS) {
    it(`${option} of ${command[0]!}: a full disk, a folder, a folder that is none or is not there`, async () => {
      await withTempFolder(async (dir) => {
        const load = join(dir, 'load.json');
        await writeFile(load, '{"weight":[[1,2,3,4]]}');
        await mkdir(join(dir, `folder${ending}`));
        const hasName = ending === '.svg' || ending === '.html';
        const known = command[0] === 'plan' ? [...command, '--load', load] : command;
        const argsOf = (path: string) => [...known, option, path];
        const words = `${option} [^\\n]* can't be written \\([^\\n]*\\); check its folder, permissions and the space on its disk$`;
        for (const path of [`${dir}/nowhere/x${ending}`, `${load}/x${ending}`, `/proc/x${ending}`]) {
          const { message } = await errorOf(OutputError, () => runCommand(argsOf(path), commandContext()));
          expect(message, path).to.match(new RegExp(`^${words}`));
        }
        for (const path of [`${dir}/folder${ending}`, ...(hasName ? [] : ['/dev/full'])]) {
          const { code, stderr } = await processes.cli(argsOf(path)).ended;
          expect(code, `${path}: ${stderr}`).to.equal(1);
          expect(withoutNews(stderr).trimEnd(), path).to.match(new RegExp(`^expertwire: ${words}`));
        }
        expect((await readdir(dir)).sort()).to.deep.equal([`folder${ending}`, 'load.json'].sort());
      });
    });
  }

  it('a device is no file of ours: it stays', async () => {
    await processes.cli([...SCORE, '--logits', '/dev/full']).ended;
    expect((await stat('/dev/full')).isCharacterDevice()).to.equal(true);
  });

  it('what a command reads is not written over', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'in.json');
      const text = '{"weight":[[1,2,3,4]]}';
      await writeFile(file, text);
      const [plain, scored] = [GENERATE.slice(0, 3), ['score', '--model', moe7m()]];
      for (const [args, input] of [
        [[...plain, '--prompts', file, '--trace', file], '--prompts'],
        [[...scored, '--file', file, '--logits', file], '--file'],
        [[...scored, '--file', file, '--trace', file], '--file'],
        [['plan', '--load', file, '--ranks', '2', '--output', file], '--load'],
      ] as const) {
        const { message } = await errorOf(UsageError, () => runCommand(args, commandContext()));
        expect(message).to.match(new RegExp(`^${input} and --[a-z]+ both name .*; give each a file of its own`));
        expect(await readFile(file, 'utf8')).to.equal(text);
      }
    });
  });

  it('a link to a file that is not there yet is that file', async () => {
    await withTempFolder(async (dir) => {
      await symlink('b.json', join(dir, 'link'));
      const args = ['--trace', join(dir, 'link'), '--record', join(dir, 'b.json')];
      const { message } = await errorOf(UsageError, () => runCommand([...GENERATE, ...args], commandContext()));
      expect(message).to.match(/--trace and --record both name/);
    });
  });

  it('two options that name one file are refused before anything starts', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'a.json');
      for (const other of [file, join(dir, '..', dir.split('/').at(-1)!, 'a.json')]) {
        const { code, stderr } = await processes.cli([...GENERATE, '--trace', file, '--record', other]).ended;
        expect(code).to.equal(2);
        expect(stderr).to.match(/^expertwire: --trace and --record both name .*; give each a file of its own\n$/);
      }
      expect(await readdir(dir)).to.deep.equal([]);
    });
  });

  for (const [what, args] of [
    ['text', GENERATE],
    ['JSON', [...GENERATE, '--json']],
    ['a table', SCORE],
    ['what this machine has', ['doctor']],
    ['help', ['plan', '--help']],
    ['the version', ['--version']],
  ] as const) {
    it(`standard output on a full disk: ${what}`, async () => {
      const command = [process.execPath, '--no-warnings', CLI, ...args].map((arg) => `'${arg}'`).join(' ');
      const { code, stderr } = await processes.start('sh', ['-c', `exec ${command} > /dev/full`]).ended;
      expect(code).to.equal(1);
      expect(withoutNews(stderr)).to.match(
        /^expertwire: standard output can't be written \(ENOSPC: [^\n]*\); [^\n]*\n$/,
      );
    });
  }
});
