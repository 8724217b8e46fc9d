/** launch.sh --hosts, with real processes behind a program that stands in for ssh. */
import { expect } from 'chai';
import { LaunchSite, COMMAND, END_MS, LONG, SECRET, expectGolden } from '../../kit/processes/launch_site.js';
import { playedSshCalls, writePlayedSsh } from '../../kit/processes/played_ssh.js';
import { kill, lastLine, type FoundProcess, type Running } from '../../kit/processes/processes.js';

const site = new LaunchSite();

describe('launch.sh --hosts', function () {
  this.timeout(60_000);

  let ssh: string;
  before(async () => {
    await site.create();
    ssh = await writePlayedSsh(site.dir);
  });
  after(site.remove);
  afterEach(site.processes.expectNone);

  const onHosts = (hosts: string, command: readonly string[]): Running =>
    site.start(['--hosts', hosts, '--ssh', ssh, '--remote-folder', site.dir, ...command]);
  /** The program in place of ssh to the only host. */
  const connection = (): FoundProcess => site.processes.running().find(({ argv }) => argv[1] === ssh)!;

  it('starts ranks on each host and the head here, and the secret is no argument of any process', async () => {
    const job = onHosts('127.0.0.2,localhost', LONG);
    await job.prints(/.{20}/);
    const argv = site.processes.running().flatMap((each) => each.argv);
    expect(argv.filter((arg) => arg.includes(SECRET.EXPERTWIRE_JOB_SECRET))).to.deep.equal([]);
    job.signal('SIGINT');
    expect((await job.ended).code).to.equal(130);
    await site.processes.allGone();
    const [[host, line] = []] = await playedSshCalls(site.dir);
    expect(host).to.equal('127.0.0.2');
    expect(line).to.match(/^exec \S+\/launch\.sh -- rank --head 127\.0\.0\.1:\d+ --rank 1 --nproc 1 --secret-file - /);
  });

  it('prints the golden text where all ranks are elsewhere', async () => {
    expectGolden(await onHosts('127.0.0.2:2', COMMAND).ended);
  });

  it('prints it on hosts that are all this machine, without ssh', async () => {
    expectGolden(await site.start(['--hosts', 'localhost:2', '--ssh', 'no-such-program', ...COMMAND]).ended);
  });

  it('a host that ssh cannot reach ends the job with the words of ssh', async () => {
    const { code, stderr } = await onHosts('127.0.0.9,localhost', COMMAND).ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(
      /^expertwire: RANK_LOST: 127\.0\.0\.9 with rank 1: ssh ended with exit code 255 .*No route to host\); see that '.*ssh 127\.0\.0\.9 true' works$/,
    );
  });

  it('a connection that breaks ends the job with that reason, and leaves nothing on the host', async () => {
    const job = onHosts('127.0.0.2:2,localhost', LONG);
    await job.prints(/.{20}/);
    const killedMs = performance.now();
    kill(connection().pid, 'SIGKILL');
    const { code, stderr, atMs } = await job.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(
      /^expertwire: RANK_LOST: 127\.0\.0\.2 with ranks 1 to 2: ssh was killed by SIGKILL/,
    );
    expect(atMs - killedMs).to.be.below(END_MS);
    await site.processes.allGone();
  });

  it('a job that makes losses good goes on without a host', async () => {
    const job = onHosts('127.0.0.2,localhost:2', [...COMMAND.slice(0, -2), '160', '--ignore-eos']);
    await job.prints(/.{20}/);
    kill(connection().pid, 'SIGKILL');
    const { code, stderr } = await job.ended;
    expect(code, stderr).to.equal(0);
    expect(stderr).to.match(/^warning: .*rank 2\b.* goes on with 2 ranks/m);
  });

  it('a rank that dies on a host ends the job, which names it', async () => {
    const job = onHosts('127.0.0.2,localhost', LONG);
    await job.prints(/.{20}/);
    kill(site.processes.rank(1).pid, 'SIGKILL');
    const { code, stderr } = await job.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: RANK_LOST: .*rank 1\b/);
  });

  it('a head that is killed leaves nothing on the hosts', async () => {
    const job = onHosts('127.0.0.2:2', LONG);
    await job.prints(/.{20}/);
    job.signal('SIGKILL');
    await job.ended;
    await site.processes.allGone();
  });
});
