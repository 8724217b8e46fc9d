/** launch.sh on two machines, with real processes. */
import { expect } from 'chai';
import { freePort } from '../../kit/processes/ports.js';
import { kill, lastLine, type Running } from '../../kit/processes/processes.js';
import {
  LaunchSite,
  COMMAND,
  LONG,
  END_MS,
  expectGolden,
  expectQuietSuccess,
} from '../../kit/processes/launch_site.js';

const site = new LaunchSite();

describe('launch.sh on two machines', function () {
  this.timeout(60_000);

  before(site.create);
  after(site.remove);
  afterEach(site.processes.expectNone);

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
    return site.start([...place, ...command]);
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
    expect((await site.processes.allGone()) - killedMs).to.be.below(END_MS);
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

  it('a rank that dies among several of node 1 ends both nodes, and both name it, however late the head hears of it', async () => {
    const port = await freePort();
    const place = (rank: string): string[] => ['--nnodes', '2', '--node-rank', rank, '--nproc-per-node', '2'];
    const head = ['--head', `127.0.0.1:${port}`];
    const [first, second] = ['0', '1'].map((rank) => site.start([...place(rank), ...head, ...LONG]));
    await first!.prints(/.{20}/);
    first!.signal('SIGSTOP');
    const killedMs = performance.now();
    kill(site.processes.rank(3).pid, 'SIGKILL');
    const secondEnd = await second!.ended;
    first!.signal('SIGCONT');
    const firstEnd = await first!.ended;
    expect([firstEnd.code, secondEnd.code]).to.deep.equal([1, 1]);
    expect(lastLine(firstEnd.stderr)).to.match(/^expertwire: RANK_LOST: .*rank 3\b/);
    expect(lastLine(secondEnd.stderr)).to.match(/^expertwire: RANK_LOST: rank 3 .*SIGKILL/);
    expect(Math.max(firstEnd.atMs, secondEnd.atMs) - killedMs).to.be.below(END_MS);
  });
});
