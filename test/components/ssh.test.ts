/** launch.sh --hosts with a real sshd. 127.0.0.2 is the host: an address of this machine that isn't one of its names. */
import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { SshServer, whyNoSsh } from '../kit/launchers/ssh_server.js';
import { LaunchSite, COMMAND, END_MS, LONG, expectGolden } from '../kit/processes/launch_site.js';
import { kill, lastLine, until, type Running } from '../kit/processes/processes.js';

const HOST = '127.0.0.2';
const site = new LaunchSite();
let server: SshServer | null = null;

/** Processes that ssh started have no mark of the test: those of the folder of this test are known by their number of the job's port. */
const remoteProcesses = (port: string): number[] =>
  readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const argv = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      return argv.includes('rank') && argv.includes(`127.0.0.1:${port}`) ? [Number(name)] : [];
    } catch {
      return []; // it has just ended
    }
  });

/** Where the head of a job listens. */
const portOf = (job: Running): string => /^waiting at 127\.0\.0\.1:(\d+) /m.exec(job.stderr)![1]!;

describe('launch.sh --hosts with a real sshd', function () {
  this.timeout(60_000);

  before(async function () {
    const missing = await whyNoSsh();
    if (missing !== null) {
      this.test!.title += ` (${missing})`;
      this.skip();
    }
    await site.create();
    server = await SshServer.start(HOST);
  });
  after(async () => {
    await server?.stop();
    if (site.dir !== '') await site.remove();
  });
  afterEach(site.processes.expectNone);

  const onHosts = (command: readonly string[], hosts = `${HOST}:2`, ssh = server!.ssh): Running =>
    site.start(['--hosts', hosts, '--ssh', ssh, '--remote-folder', site.dir, ...command]);
  const nothingIsLeft = (port: string): Promise<void> =>
    until(
      () => remoteProcesses(port).length === 0,
      () => `still running: ${remoteProcesses(port).join(', ')}`,
    );

  it('prints the golden text of ranks on a host', async () => {
    const job = onHosts(COMMAND);
    expectGolden(await job.ended);
    await nothingIsLeft(portOf(job));
  });

  it('and of ranks here and there', async () => {
    expectGolden(await onHosts(COMMAND, `${HOST},localhost`).ended);
  });

  it('Ctrl-C ends the job, and nothing is left on the host', async () => {
    const job = onHosts(LONG);
    await job.prints(/.{20}/);
    expect(remoteProcesses(portOf(job))).not.to.deep.equal([]);
    job.signalGroup('SIGINT');
    expect((await job.ended).code).to.equal(130);
    await nothingIsLeft(portOf(job));
  });

  it('a head that is killed leaves nothing on the host', async () => {
    const job = onHosts(LONG);
    await job.prints(/.{20}/);
    job.signal('SIGKILL');
    await job.ended;
    await nothingIsLeft(portOf(job));
    await site.processes.allGone();
  });

  it('an ssh that is killed ends the job with that reason, and leaves nothing on the host', async () => {
    const job = onHosts(LONG, `${HOST}:2,localhost`);
    await job.prints(/.{20}/);
    const killedMs = performance.now();
    kill(site.processes.running().find(({ argv }) => argv[0] === 'ssh')!.pid, 'SIGKILL');
    const { code, stderr, atMs } = await job.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(
      /^expertwire: RANK_LOST: 127\.0\.0\.2 with ranks 1 to 2: ssh was killed by SIGKILL/,
    );
    expect(atMs - killedMs).to.be.below(END_MS);
    await nothingIsLeft(portOf(job));
  });

  it('ranks that are killed on the host end the job', async () => {
    const job = onHosts(LONG, `${HOST},localhost`);
    await job.prints(/.{20}/);
    for (const pid of remoteProcesses(portOf(job))) kill(pid, 'SIGKILL');
    const { code, stderr } = await job.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: RANK_LOST: /);
    await nothingIsLeft(portOf(job));
  });

  it('a key that the host does not know ends the job with the words of ssh', async () => {
    const { code, stderr } = await onHosts(COMMAND, HOST, server!.stranger).ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(
      /^expertwire: RANK_LOST: 127\.0\.0\.2 with rank 0: ssh ended with exit code 255 .*Permission denied/,
    );
  });

  it('a folder that is not there ends the job with where it was looked for', async () => {
    const args = ['--hosts', HOST, '--ssh', server!.ssh, '--remote-folder', '/nowhere'];
    const { code, stderr } = await site.start([...args, ...COMMAND]).ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/exit code 127 .*\/nowhere\/launch\.sh.*--remote-folder DIR/);
  });
});
