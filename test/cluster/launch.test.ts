/** launch.sh: one machine, several, and the launchers of clusters, each with real processes. */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VERSION } from '../../lib/config/package_files.js';
import { moe7mCases } from '../kit/goldens.js';
import { buildWith, createLaunchFolder, markBuilt, touch, writeProgram } from '../kit/launch_folder.js';
import { moe7m } from '../kit/paths.js';
import { closeServer, freePort, listenOn, portOf } from '../kit/ports.js';
import { kill, lastLine, Processes, until, type Ended, type Running, withoutNews } from '../kit/processes.js';

const [GOLDEN] = moe7mCases();
const SECRET = { EXPERTWIRE_JOB_SECRET: 'a secret of this test' };
const COMMAND = [
  '--',
  'generate',
  '--model',
  moe7m(),
  '--prompt',
  GOLDEN!.prompt,
  '--max-new-tokens',
  '32',
  '--ignore-eos',
];
const LONG = [...COMMAND.slice(0, -2), '480', '--ignore-eos'];
/** Three times what is promised, for a loaded machine. */
const END_MS = 3 * 2000;

const processes = new Processes();
let dir: string;
let launch: string;

async function createFolder(): Promise<void> {
  dir = await mkdtemp(join(tmpdir(), 'expertwire-launch-'));
  launch = await createLaunchFolder(dir);
}

const removeFolder = (): Promise<void> => rm(dir, { recursive: true, force: true });

const start = (args: readonly string[], env: Record<string, string> = {}): Running =>
  processes.start(launch, args, { env: { ...SECRET, ...env }, cwd: tmpdir() });

function expectGolden({ code, stdout, stderr }: Ended): void {
  expect(withoutNews(stderr)).to.equal('');
  expect(code).to.equal(0);
  expect(stdout).to.equal(`${GOLDEN!.text}\n`);
}

function expectQuietSuccess({ code, stdout, stderr }: Ended): void {
  expect(withoutNews(stderr)).to.equal('');
  expect(code).to.equal(0);
  expect(stdout).to.equal('');
}

describe('launch.sh on one machine', function () {
  this.timeout(60_000);

  beforeEach(createFolder);
  afterEach(processes.expectNone);
  afterEach(removeFolder);

  it('without arguments runs the demo: four ranks, four kinds of text, and what each kind heats', async () => {
    const { code, stdout, stderr } = await start([]).ended;
    expect(code, stderr).to.equal(0);
    const headings = [...stdout.matchAll(/^── (.*) ──$/gm)].map(([, label]) => label);
    expect(headings).to.deep.equal(['story', 'scripture', 'speech', 'code']);
    expect(stderr).to.match(/^4 ranks on [\w ]+ · /m);
    expect(stderr).to.match(/^which of the 32 experts each kind of text heats$/m);
  });

  it('runs a command on local ranks, from any folder', async () => {
    expectGolden(await start(['--nproc-per-node', '2', ...COMMAND]).ended);
  });

  it("hands the command's exit code on", async () => {
    const { code, stderr } = await start(['--', 'generate', '--model', moe7m(), '--prompt', '']).ended;
    expect(lastLine(stderr)).to.include('prompt is empty');
    expect(code).to.equal(2);
  });

  it('refuses a Node.js that is too old, and says which one it needs', async () => {
    await writeProgram(join(dir, 'bin'), 'node', 'echo v20.18.3');
    const { code, stderr, stdout } = await start([], { PATH: `${join(dir, 'bin')}:${process.env.PATH!}` }).ended;
    expect(stderr).to.equal(
      'launch.sh: Node.js 20.18.3 is too old; install version 20.19.0 or newer from https://nodejs.org\n',
    );
    expect([code, stdout]).to.deep.equal([1, '']);
  });

  it('takes a newer Node.js for what it is: 100.0.0 comes after 20.19.0', async () => {
    const script = `[ "$1" = --version ] && echo v100.0.0 || echo "ran $*"`;
    await writeProgram(join(dir, 'bin'), 'node', script);
    const { code, stdout } = await start(['--', 'doctor'], { PATH: `${join(dir, 'bin')}:${process.env.PATH!}` }).ended;
    expect(stdout).to.match(/^ran --no-warnings .*\/dist\/lib\/cli\.js launch -- doctor\n$/);
    expect(code).to.equal(0);
  });

  describe('that is not ready', () => {
    /** Both write down what they are called with; a build waits for the test and then leaves a fresh mark. */
    const NPM = (): string =>
      `echo npm "$@" >>"${dir}/calls.log"; touch -d '+60 seconds' "${dir}/node_modules/.package-lock.json"`;
    const BUILD = (): string => `echo build "$@" >>"${dir}/calls.log"
while [ ! -f "${dir}/go" ]; do sleep 0.05; done
touch -d '+60 seconds' "${dir}/dist/.built.$1"`;
    const env = (): Record<string, string> => ({ PATH: `${join(dir, 'bin')}:${process.env.PATH!}` });
    const calls = async (): Promise<string[]> =>
      (await readFile(join(dir, 'calls.log'), 'utf8').catch(() => '')).trimEnd().split('\n');
    beforeEach(async () => {
      await writeProgram(join(dir, 'bin'), 'npm', NPM());
      await buildWith(dir, BUILD());
    });

    it('neither installs nor builds when nothing is stale', async () => {
      expect((await start(['--', '--version'], env()).ended).code).to.equal(0);
      expect(await calls()).to.deep.equal(['']);
    });

    it('is found through links to it', async () => {
      await symlink('launch.sh', join(dir, 'inner'));
      await mkdir(join(dir, 'links'));
      await symlink(join(dir, 'inner'), join(dir, 'links', 'outer'));
      const { code, stdout } = await processes.start(join(dir, 'links', 'outer'), ['--', '--version']).ended;
      expect([code, stdout.trim()]).to.deep.equal([0, VERSION]);
    });

    it('installs when the lock file is newer, builds when a source is', async () => {
      await touch(join(dir, 'package-lock.json'), 120);
      await touch(join(dir, 'lib', 'a.ts'), 30);
      await touch(join(dir, 'dist', '.built.product'), 0);
      await touch(join(dir, 'go'), 0);
      const { code, stderr } = await start(['--', '--version'], env()).ended;
      expect(stderr).to.equal('launch.sh: installing packages (npm ci)\nlaunch.sh: building\n');
      expect(code).to.equal(0);
      expect(await calls()).to.deep.equal([
        'npm ci --no-fund --no-audit --no-update-notifier --loglevel=error',
        'build product',
      ]);
    });

    it('compiles benchmarks where one is called, and tests never', async () => {
      await touch(join(dir, 'go'), 0);
      await touch(join(dir, 'bench', 'b.ts'), 120);
      expect((await start(['--', '--version'], env()).ended).code).to.equal(0);
      expect(await calls()).to.deep.equal(['']);
      await start(['--', 'bench', 'none'], env()).ended;
      expect(await calls()).to.deep.equal(['build bench']);
    });

    it('two at once: one builds, the other waits for it', async () => {
      await rm(join(dir, 'dist', '.built.product'));
      const both = [start(['--', '--version'], env()), start(['--', '--version'], env())];
      await until(
        () => both.some((run) => run.stderr.includes('building')),
        () => 'nobody builds',
      );
      await touch(join(dir, 'go'), 0);
      const ends = await Promise.all(both.map((run) => run.ended));
      expect(ends.map(({ code }) => code)).to.deep.equal([0, 0]);
      expect(await calls()).to.deep.equal(['build product']);
      expect(ends.map(({ stderr }) => stderr).sort()).to.deep.equal(['', 'launch.sh: building\n']);
    });

    it('a lock whose owner was killed is taken over', async () => {
      await rm(join(dir, 'dist', '.built.product'));
      const first = start(['--', '--version'], env());
      await until(
        () => existsSync(join(dir, 'calls.log')),
        () => 'nobody builds',
      );
      first.signalGroup('SIGKILL');
      await processes.allGone();
      await touch(join(dir, 'go'), 0);
      const { code } = await start(['--', '--version'], env()).ended;
      expect(code).to.equal(0);
      expect(await calls()).to.deep.equal(['build product', 'build product']);
    });

    it('a build that fails ends it, and the next call builds again', async () => {
      await rm(join(dir, 'dist', '.built.product'));
      await buildWith(dir, 'echo "no compiler" >&2; exit 3');
      const { code, stderr, stdout } = await start(['--', '--version'], env()).ended;
      expect([code, stdout, stderr]).to.deep.equal([3, '', 'launch.sh: building\nno compiler\n']);
      await markBuilt(dir);
      expect((await start(['--', '--version'], env()).ended).code).to.equal(0);
    });
  });
});

describe('launch.sh on two machines', function () {
  this.timeout(60_000);

  before(createFolder);
  after(removeFolder);
  afterEach(processes.expectNone);

  const node = (rank: number, port: number, command: readonly string[] = COMMAND): Running => {
    const place = [
      '--nnodes',
      '2',
      '--node-rank',
      String(rank),
      '--nproc-per-node',
      '1',
      '--head',
      `127.0.0.1:${port}`,
    ];
    return start([...place, ...command]);
  };

  it('two invocations form one job, and node 0 prints the golden text', async () => {
    const port = await freePort();
    // Node 1 comes first: it waits for the head.
    const [second, first] = [node(1, port), node(0, port)];
    expectGolden(await first.ended);
    expectQuietSuccess(await second.ended);
  });

  it("node 1's failure ends node 0, which names the rank", async () => {
    const port = await freePort();
    const [second, first] = [node(1, port, LONG), node(0, port, LONG)];
    await first.prints(/.{20}/);
    const killedMs = second.signalGroup('SIGKILL');
    const { code, stderr, atMs } = await first.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: RANK_LOST: .*rank 1\b/);
    expect(atMs - killedMs).to.be.below(END_MS);
    expect((await second.ended).signal).to.equal('SIGKILL');
  });

  it("node 0's failure ends node 1, which says so", async () => {
    const port = await freePort();
    const [second, first] = [node(1, port, LONG), node(0, port, LONG)];
    await first.prints(/.{20}/);
    const killedMs = first.signal('SIGKILL');
    const { code, stderr, atMs } = await second.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: HEAD_LOST: /);
    expect(atMs - killedMs).to.be.below(END_MS);
    expect((await processes.allGone()) - killedMs).to.be.below(END_MS);
  });

  it('Ctrl-C on node 0 ends both, node 1 without a word of a crash', async () => {
    const port = await freePort();
    const [second, first] = [node(1, port, LONG), node(0, port, LONG)];
    await first.prints(/.{20}/);
    const sentMs = first.signalGroup('SIGINT');
    expect((await first.ended).code).to.equal(130);
    const { stderr, atMs } = await second.ended;
    expect(stderr).not.to.match(/\n\s+at /);
    expect(atMs - sentMs).to.be.below(END_MS);
  });

  it('a rank that dies among several of node 1 ends both nodes, and both name it', async () => {
    const port = await freePort();
    const place = (rank: string): string[] => ['--nnodes', '2', '--node-rank', rank, '--nproc-per-node', '2'];
    const head = ['--head', `127.0.0.1:${port}`];
    const [first, second] = ['0', '1'].map((rank) => start([...place(rank), ...head, ...LONG]));
    await first!.prints(/.{20}/);
    const killedMs = performance.now();
    kill(processes.rank(3).pid, 'SIGKILL');
    const [firstEnd, secondEnd] = await Promise.all([first!.ended, second!.ended]);
    expect([firstEnd.code, secondEnd.code]).to.deep.equal([1, 1]);
    expect(lastLine(firstEnd.stderr)).to.match(/^expertwire: RANK_LOST: .*rank 3\b/);
    expect(lastLine(secondEnd.stderr)).to.match(/^expertwire: RANK_LOST: rank 3 .*SIGKILL/);
    expect(Math.max(firstEnd.atMs, secondEnd.atMs) - killedMs).to.be.below(END_MS);
  });
});

describe('launch.sh under a launcher', function () {
  this.timeout(60_000);

  before(createFolder);
  after(removeFolder);
  afterEach(processes.expectNone);

  /** The same line twice, as a launcher starts it. */
  async function expectJob(args: readonly string[], envOf: (rank: string) => Record<string, string>): Promise<void> {
    const [first, second] = ['0', '1'].map((rank) => start([...args, ...COMMAND], envOf(rank)));
    expectGolden(await first!.ended);
    expectQuietSuccess(await second!.ended);
  }

  it('Slurm: rank and size come from the environment', async () => {
    const head = ['--head', `127.0.0.1:${await freePort()}`];
    await expectJob(head, (rank) => ({
      SLURM_PROCID: rank,
      SLURM_NTASKS: '2',
      SLURM_LOCALID: rank,
      SLURM_STEP_ID: '0',
      SLURM_JOB_NODELIST: 'localhost',
    }));
  });

  it('Open MPI: rank and size come from the environment', async () => {
    const head = ['--head', `127.0.0.1:${await freePort()}`];
    await expectJob(head, (rank) => ({
      OMPI_COMM_WORLD_RANK: rank,
      OMPI_COMM_WORLD_SIZE: '2',
      OMPI_COMM_WORLD_LOCAL_RANK: rank,
    }));
  });

  it('torchrun: the address too, while torchrun holds MASTER_PORT itself', async () => {
    const { server, port } = await holdPortBeforeFreeOne();
    try {
      await expectJob([], (rank) => ({
        RANK: rank,
        WORLD_SIZE: '2',
        LOCAL_RANK: rank,
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: String(port),
      }));
    } finally {
      await closeServer(server);
    }
  });
});

/** A server on a port after which another one is free. */
async function holdPortBeforeFreeOne(): Promise<{ readonly server: Server; readonly port: number }> {
  for (;;) {
    const server = await listenOn(0);
    const port = portOf(server);
    try {
      if (port < 65535) {
        await closeServer(await listenOn(port + 1));
        return { server, port };
      }
    } catch {
      // taken: try another pair
    }
    await closeServer(server);
  }
}

describe('launch.sh on two machines with a network between them', function () {
  this.timeout(60_000);

  // Two network namespaces and a cable: unique names, short enough for an interface.
  const id = randomBytes(3).toString('hex');
  const [first, second] = [`ew0-${id}`, `ew1-${id}`];
  const HEAD = '10.213.77.1';
  const ip = (...args: string[]): Buffer => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });

  before(async function () {
    try {
      for (const name of [first, second]) ip('netns', 'add', name);
      ip('link', 'add', first, 'netns', first, 'type', 'veth', 'peer', 'name', second, 'netns', second);
      for (const [name, address] of [
        [first, HEAD],
        [second, '10.213.77.2'],
      ] as const) {
        ip('-n', name, 'address', 'add', `${address}/24`, 'dev', name);
        ip('-n', name, 'link', 'set', name, 'up');
        ip('-n', name, 'link', 'set', 'lo', 'up');
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message.trim().split('\n').at(-1)! : String(error);
      this.test!.title += ` (this system permits no network namespaces: ${reason})`;
      this.skip();
    }
    await createFolder();
  });
  after(async () => {
    for (const name of [first, second]) {
      try {
        ip('netns', 'delete', name);
      } catch {
        // it was never made
      }
    }
    if (launch.startsWith(dir)) await removeFolder();
  });
  afterEach(processes.expectNone);

  const node = (rank: number, command: readonly string[], nproc = '1'): Running => {
    const place = ['--nnodes', '2', '--node-rank', String(rank), '--nproc-per-node', nproc, '--head', `${HEAD}:7077`];
    const name = rank === 0 ? first : second;
    return processes.start('ip', ['netns', 'exec', name, launch, ...place, ...command], { env: SECRET });
  };

  it('they form one job, and node 0 prints the golden text', async () => {
    const [head, other] = [node(0, COMMAND, '2'), node(1, COMMAND, '2')];
    expectGolden(await head.ended);
    expectQuietSuccess(await other.ended);
  });

  it('the cable is cut: node 0 ends and names the rank; node 1 ends as soon as it can hear of it', async () => {
    const command = [...LONG, '--set', 'comm.timeout_ms=1000'];
    const [head, other] = [node(0, command), node(1, command)];
    await head.prints(/.{20}/);
    ip('-n', first, 'link', 'set', first, 'down');
    const headEnd = await head.ended;
    expect(headEnd.code).to.equal(1);
    expect(lastLine(headEnd.stderr)).to.match(/^expertwire: (TIMEOUT|RANK_LOST): .*rank 1\b/);
    ip('-n', first, 'link', 'set', first, 'up');
    const otherEnd = await other.ended;
    expect(otherEnd.code).to.equal(1);
    expect(lastLine(otherEnd.stderr)).to.match(/^expertwire: [A-Z_]+: /);
  });
});
