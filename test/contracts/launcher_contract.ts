/** What is asked of a job of four ranks under every launcher: the same suite for each. */
import { expect } from 'chai';
import { kill, type Ended, type Running } from '../kit/processes/processes.js';
import { COMMAND, LONG, SECRET, type LaunchSite, withoutLaunchers } from '../kit/processes/launch_site.js';
import { closeServer, listenOn, portOf } from '../kit/processes/ports.js';

/** A launcher that runs here. */
export interface TestedLauncher {
  /** What starts four tasks of the words behind it. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where it says which task one is. */
  readonly rankVariable: string;
  /** Says of a job where its head is; none: the launcher does. */
  readonly head: () => Promise<readonly string[]>;
  /** Ends a job as its user does at the terminal of the launcher. */
  readonly interrupt: (job: Running) => Promise<void> | void;
  /** It prints the last words of tasks, also of those that end together. */
  readonly keepsWords: boolean;
}

/** An address of the documentation's, which no machine has. */
const NOBODY = '198.51.100.7:7077';
/** Seconds within which ranks are to find their head. */
const JOIN_TIMEOUT = ['--join-timeout', '10'];

/** Declares the suite; `launcher` is asked in each test. */
export function describeLauncher(launcher: () => TestedLauncher, site: LaunchSite): void {
  const start = (args: readonly string[], wrap: readonly string[] = []): Running => {
    const { command, env } = launcher();
    const [program, ...options] = command;
    return site.processes.start(program!, [...options, ...wrap, site.script, ...args], {
      env: { ...SECRET, ...env },
      cwd: site.dir,
    });
  };
  const running = async (): Promise<Running> => {
    const job = start([...(await launcher().head()), ...LONG]);
    await job.prints(/.{20}/);
    return job;
  };

  it('generates the golden text, says nothing else, and ends well', async () => {
    const job = start([...(await launcher().head()), ...COMMAND]);
    const { code, stdout, stderr } = await job.ended;
    expect(withoutLaunchers(stderr)).to.equal('');
    expect([code, stdout]).to.deep.equal([0, site.goldenOutput]);
  });

  it('a rank that is killed ends the job, and whoever says something names it', async () => {
    const job = await running();
    kill(site.processes.rank(2).pid, 'SIGKILL');
    const { code, stderr } = await job.ended;
    expect(code).not.to.equal(0);
    const words = ownWords(stderr);
    expect(words.length).to.be.above(0);
    for (const line of words) expect(line).to.match(/\brank 2\b/);
    if (launcher().keepsWords) expect(stderr).to.match(/RANK_LOST: rank 2 \(process \d+\) was killed by SIGKILL/);
    await site.processes.allGone();
  });

  it('ended by its user it ends all, without a word of a crash, and not as one that succeeded', async () => {
    const job = await running();
    await launcher().interrupt(job);
    const { code, stderr } = await job.ended;
    expect(code).not.to.equal(0);
    expect(ownWords(stderr)).to.deep.equal([]);
    await site.processes.allGone();
  });

  it('a rank with another secret is turned away, and says so', async () => {
    const one = `[ "$${launcher().rankVariable}" != 2 ] || export EXPERTWIRE_JOB_SECRET=another; exec "$@"`;
    const head = await launcher().head();
    await expectFailure(start([...head, ...JOIN_TIMEOUT, ...COMMAND], ['bash', '-c', one, 'one']), /AUTH_FAILED: /);
  });

  it('an address that is taken is named', async () => {
    const server = await listenOn(0);
    server.on('connection', (socket) => socket.on('error', () => undefined).resume()); // somebody who answers nothing
    try {
      const head = ['--head', `127.0.0.1:${portOf(server)}`];
      await expectFailure(start([...head, ...JOIN_TIMEOUT, ...COMMAND]), /ADDRESS_IN_USE: .*127\.0\.0\.1/);
    } finally {
      await closeServer(server);
    }
  });

  it('an address that the machine of the head does not have is named', async () => {
    const job = start(['--head', NOBODY, '--join-timeout', '3', ...COMMAND]);
    await expectFailure(job, /198\.51\.100\.7/);
  });

  async function expectFailure(job: Running, why: RegExp): Promise<void> {
    const { code, stderr }: Ended = await job.ended;
    expect(stderr).to.match(why);
    expect(code).not.to.equal(0);
    expect(stderr).not.to.match(/\n\s+at /);
    await site.processes.allGone();
  }
}

/** Errors of ours. */
const ownWords = (stderr: string): string[] =>
  stderr.split('\n').filter((line) => /^(\[rank \d+\] )?expertwire: /.test(line));
