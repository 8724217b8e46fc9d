/** Jobs of several machines with a network between them: namespaces with real addresses. */
import { expect } from 'chai';
import { Machines } from '../kit/launchers/machines.js';
import { SshServer, whyNoSsh } from '../kit/launchers/ssh_server.js';
import { LaunchSite, COMMAND, LONG, SECRET, expectGolden, expectQuietSuccess } from '../kit/processes/launch_site.js';
import { lastLine, type Ended, type Running } from '../kit/processes/processes.js';

const site = new LaunchSite();
const PORT = 7077;
/** How long machines look for each other here. */
const LOOKING = ['--join-timeout', '4'];
/** What a job may take to find that out, and to end, on a loaded machine. */
const CLEAR_MS = 20_000;

describe('jobs of machines with a network between them', function () {
  this.timeout(90_000);

  let machines: Machines | null = null;

  before(async function () {
    try {
      machines = Machines.make(3);
    } catch (error) {
      const reason = error instanceof Error ? error.message.trim().split('\n').at(-1)! : String(error);
      this.test!.title += ` (this system permits no network namespaces: ${reason})`;
      this.skip();
    }
    await site.create();
  });
  after(async () => {
    machines?.remove();
    if (site.dir !== '') await site.remove();
  });
  afterEach(site.processes.expectNone);

  const at = (machine: number, args: readonly string[], env: Record<string, string> = SECRET): Running => {
    const [program, ...words] = machines!.on(machine);
    return site.processes.start(program!, [...words, site.script, ...args], { env });
  };
  const node = (rank: number, head: string, command: readonly string[], nnodes = 2): Running =>
    at(rank, ['--nnodes', String(nnodes), '--node-rank', String(rank), '--head', head, ...command]);
  const head4 = (): string => `${machines!.ipv4(0)}:${PORT}`;

  /** The last line, of one that ended in time. */
  async function failure(job: Running, sinceMs: number): Promise<string> {
    const { code, stderr, atMs }: Ended = await job.ended;
    expect(code, stderr).to.equal(1);
    expect(atMs - sinceMs, stderr).to.be.below(CLEAR_MS);
    return lastLine(stderr);
  }

  it('three machines form one job over IPv4', async () => {
    const [first, ...others] = [0, 1, 2].map((rank) => node(rank, head4(), COMMAND, 3));
    expectGolden(await first!.ended);
    for (const other of others) expectQuietSuccess(await other.ended);
  });

  it('and two over IPv6', async () => {
    const head = `[${machines!.ipv6(0)}]:${PORT}`;
    const [first, second] = [0, 1].map((rank) => node(rank, head, COMMAND));
    expectGolden(await first!.ended);
    expectQuietSuccess(await second!.ended);
  });

  it('--hosts finds the address that each host sees, IPv4 or IPv6', async function () {
    const missing = await whyNoSsh();
    if (missing !== null) {
      this.test!.title += ` (${missing})`;
      this.skip();
    }
    const { ipv4, ipv6 } = { ipv4: machines!.ipv4(1), ipv6: machines!.ipv6(2) };
    const first = await SshServer.start(ipv4, machines!.on(1));
    try {
      const second = await SshServer.start(ipv6, machines!.on(2), first);
      try {
        const args = ['--hosts', `${ipv4},[${ipv6}]`, '--ssh', first.ssh, '--remote-folder', site.dir];
        expectGolden(await at(0, [...args, ...COMMAND]).ended);
      } finally {
        await second.stop();
      }
    } finally {
      await first.stop();
    }
  });

  it('a head at an address that nobody has is told by both, with the address', async () => {
    const nowhere = `10.213.78.99:${PORT}`;
    const sinceMs = performance.now();
    const [first, second] = [0, 1].map((rank) => node(rank, nowhere, [...LOOKING, ...COMMAND]));
    expect(await failure(first!, sinceMs)).to.match(/10\.213\.78\.99:7077.*EADDRNOTAVAIL/);
    expect(await failure(second!, sinceMs)).to.match(/^expertwire: UNREACHABLE: .*10\.213\.78\.99:7077/);
  });

  it('a head that listens at another interface than ranks look at is told by both', async () => {
    const sinceMs = performance.now();
    const first = node(0, `127.0.0.1:${PORT}`, [...LOOKING, ...COMMAND]);
    const second = node(1, head4(), [...LOOKING, ...COMMAND]);
    expect(await failure(first, sinceMs)).to.match(/^expertwire: TIMEOUT: .*1 of 2 ranks joined \(not joined: rank 1/);
    expect(await failure(second, sinceMs)).to.match(/^expertwire: UNREACHABLE: .*10\.213\.78\.1:7077.*ECONNREFUSED/);
  });

  it('a rank that advertises an address of another network is told by both', async () => {
    const sinceMs = performance.now();
    const first = node(0, head4(), [...LOOKING, ...COMMAND]);
    const second = node(1, head4(), ['--advertise', '10.99.0.9', ...LOOKING, ...COMMAND]);
    expect(await failure(first, sinceMs)).to.match(
      /^expertwire: TIMEOUT: .*not linked yet: rank 0 at 10\.213\.78\.1:\d+, 1 at 10\.99\.0\.9:/,
    );
    expect(await failure(second, sinceMs)).to.match(/^expertwire: [A-Z_]+: /);
  });

  it('an address that is taken ends the head at once, which says so', async () => {
    const first = node(0, head4(), [...LOOKING, ...COMMAND]);
    await first.warns(/waiting at/);
    const sinceMs = performance.now();
    const other = node(0, head4(), [...LOOKING, ...COMMAND]);
    expect(await failure(other, sinceMs)).to.match(/^expertwire: ADDRESS_IN_USE: 10\.213\.78\.1:7077/);
    const second = node(1, head4(), COMMAND);
    expectGolden(await first.ended);
    expectQuietSuccess(await second.ended);
  });

  it('a machine with another secret is turned away, and says so', async () => {
    const sinceMs = performance.now();
    const first = node(0, head4(), [...LOOKING, ...COMMAND]);
    const place = ['--nnodes', '2', '--node-rank', '1', '--head', head4()];
    const second = at(1, [...place, ...LOOKING, ...COMMAND], { EXPERTWIRE_JOB_SECRET: 'another' });
    expect(await failure(second, sinceMs)).to.match(/^expertwire: AUTH_FAILED: /);
    expect(await failure(first, sinceMs)).to.match(/^expertwire: TIMEOUT: .*not joined: rank 1/);
  });

  it('a machine that is cut off ends, and so do the others, which name it', async () => {
    const command = [...LONG, '--set', 'comm.timeout_ms=1000'];
    const [first, second, third] = [0, 1, 2].map((rank) => node(rank, head4(), command, 3));
    await first!.prints(/.{20}/);
    machines!.cable(2, 'down');
    const sinceMs = performance.now();
    try {
      expect(await failure(first!, sinceMs)).to.match(/^expertwire: (TIMEOUT|RANK_LOST): .*rank 2\b/);
      expect(await failure(second!, sinceMs)).to.match(/^expertwire: [A-Z_]+: .*(rank 2\b|the head)/);
      expect(await failure(third!, sinceMs)).to.match(/^expertwire: [A-Z_]+: /);
    } finally {
      machines!.cable(2, 'up');
    }
  });
});
