/** launch.sh on one machine, with real processes. */
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { VERSION } from '../../../lib/config/package_files.js';
import { buildWith, markBuilt, touch, writeProgram } from '../../kit/processes/launch_folder.js';
import { moe7m } from '../../kit/paths.js';
import { lastLine, until } from '../../kit/processes/processes.js';
import { LaunchSite, COMMAND, expectGolden } from '../../kit/processes/launch_site.js';

const site = new LaunchSite();

describe('launch.sh on one machine', function () {
  this.timeout(60_000);

  beforeEach(site.create);
  afterEach(site.processes.expectNone);
  afterEach(site.remove);

  it('without arguments runs the demo: four ranks, four kinds of text, and what each kind heats', async () => {
    const { code, stdout, stderr } = await site.start([]).ended;
    expect(code, stderr).to.equal(0);
    const headings = [...stdout.matchAll(/^── (.*) ──$/gm)].map(([, label]) => label);
    expect(headings).to.deep.equal(['story', 'scripture', 'speech', 'code']);
    expect(stderr).to.match(/^4 ranks on [\w ]+ \([^)]*\d+ bits[^)]*\) · /m);
    expect(stderr).to.match(/^which of the 32 experts each kind of text heats$/m);
  });

  it('runs a command on local ranks, from any folder', async () => {
    expectGolden(await site.start(['--nproc-per-node', '2', ...COMMAND]).ended);
  });

  it("hands the command's exit code on", async () => {
    const { code, stderr } = await site.start(['--', 'generate', '--model', moe7m(), '--prompt', '']).ended;
    expect(lastLine(stderr)).to.include('prompt is empty');
    expect(code).to.equal(2);
  });

  it('refuses a Node.js that is too old, and says which one it needs', async () => {
    await writeProgram(join(site.dir, 'bin'), 'node', 'echo v20.18.3');
    const { code, stderr, stdout } = await site.start([], { PATH: `${join(site.dir, 'bin')}:${process.env.PATH!}` })
      .ended;
    expect(stderr).to.equal(
      'launch.sh: Node.js 20.18.3 is too old; install version 20.19.0 or newer from https://nodejs.org\n',
    );
    expect([code, stdout]).to.deep.equal([1, '']);
  });

  it('takes a newer Node.js for what it is: 100.0.0 comes after 20.19.0', async () => {
    const script = `[ "$1" = --version ] && echo v100.0.0 || echo "ran $*"`;
    await writeProgram(join(site.dir, 'bin'), 'node', script);
    const { code, stdout } = await site.start(['--', 'doctor'], {
      PATH: `${join(site.dir, 'bin')}:${process.env.PATH!}`,
    }).ended;
    expect(stdout).to.match(/^ran --no-warnings .*\/dist\/lib\/cli\.js launch -- doctor\n$/);
    expect(code).to.equal(0);
  });

  describe('that is not ready', () => {
    /** Both write down what they are called with; a build waits for the test and then leaves a fresh mark. */
    const NPM = (): string =>
      `echo npm "$@" >>"${site.dir}/calls.log"; touch -d '+60 seconds' "${site.dir}/node_modules/.package-lock.json"`;
    const BUILD = (): string => `echo build "$@" >>"${site.dir}/calls.log"
while [ ! -f "${site.dir}/go" ]; do sleep 0.05; done
touch -d '+60 seconds' "${site.dir}/dist/.built.$1"`;
    const env = (): Record<string, string> => ({ PATH: `${join(site.dir, 'bin')}:${process.env.PATH!}` });
    const calls = async (): Promise<string[]> =>
      (await readFile(join(site.dir, 'calls.log'), 'utf8').catch(() => '')).trimEnd().split('\n');
    beforeEach(async () => {
      await writeProgram(join(site.dir, 'bin'), 'npm', NPM());
      await buildWith(site.dir, BUILD());
    });

    it('neither installs nor builds when nothing is stale', async () => {
      expect((await site.start(['--', '--version'], env()).ended).code).to.equal(0);
      expect(await calls()).to.deep.equal(['']);
    });

    it('is found through links to it', async () => {
      await symlink('launch.sh', join(site.dir, 'inner'));
      await mkdir(join(site.dir, 'links'));
      await symlink(join(site.dir, 'inner'), join(site.dir, 'links', 'outer'));
      const { code, stdout } = await site.processes.start(join(site.dir, 'links', 'outer'), ['--', '--version']).ended;
      expect([code, stdout.trim()]).to.deep.equal([0, VERSION]);
    });

    it('installs when the lock file is newer, builds when a source is', async () => {
      await touch(join(site.dir, 'package-lock.json'), 120);
      await touch(join(site.dir, 'lib', 'a.ts'), 30);
      await touch(join(site.dir, 'dist', '.built.product'), 0);
      await touch(join(site.dir, 'go'), 0);
      const { code, stderr } = await site.start(['--', '--version'], env()).ended;
      expect(stderr).to.equal('launch.sh: installing packages (npm ci)\nlaunch.sh: building\n');
      expect(code).to.equal(0);
      expect(await calls()).to.deep.equal([
        'npm ci --no-fund --no-audit --no-update-notifier --loglevel=error',
        'build product',
      ]);
    });

    it('compiles benchmarks where one is called, and tests never', async () => {
      await touch(join(site.dir, 'go'), 0);
      await touch(join(site.dir, 'bench', 'b.ts'), 120);
      expect((await site.start(['--', '--version'], env()).ended).code).to.equal(0);
      expect(await calls()).to.deep.equal(['']);
      await site.start(['--', 'bench', 'none'], env()).ended;
      expect(await calls()).to.deep.equal(['build bench']);
    });

    it('two at once: one builds, the other waits for it', async () => {
      await rm(join(site.dir, 'dist', '.built.product'));
      const both = [site.start(['--', '--version'], env()), site.start(['--', '--version'], env())];
      await until(
        () => both.some((run) => run.stderr.includes('building')),
        () => 'nobody builds',
      );
      await touch(join(site.dir, 'go'), 0);
      const ends = await Promise.all(both.map((run) => run.ended));
      expect(ends.map(({ code }) => code)).to.deep.equal([0, 0]);
      expect(await calls()).to.deep.equal(['build product']);
      expect(ends.map(({ stderr }) => stderr).sort()).to.deep.equal(['', 'launch.sh: building\n']);
    });

    it('a lock whose owner was killed is taken over', async () => {
      await rm(join(site.dir, 'dist', '.built.product'));
      const first = site.start(['--', '--version'], env());
      await until(
        () => existsSync(join(site.dir, 'calls.log')),
        () => 'nobody builds',
      );
      first.signalGroup('SIGKILL');
      await site.processes.allGone();
      await touch(join(site.dir, 'go'), 0);
      const { code } = await site.start(['--', '--version'], env()).ended;
      expect(code).to.equal(0);
      expect(await calls()).to.deep.equal(['build product', 'build product']);
    });

    it('a build that fails ends it, and the next call builds again', async () => {
      await rm(join(site.dir, 'dist', '.built.product'));
      await buildWith(site.dir, 'echo "no compiler" >&2; exit 3');
      const { code, stderr, stdout } = await site.start(['--', '--version'], env()).ended;
      expect([code, stdout, stderr]).to.deep.equal([3, '', 'launch.sh: building\nno compiler\n']);
      await markBuilt(site.dir);
      expect((await site.start(['--', '--version'], env()).ended).code).to.equal(0);
    });
  });
});
