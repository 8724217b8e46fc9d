/** launch.sh on two machines with a network between them, with real processes. */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { lastLine, type Running } from '../../kit/processes/processes.js';
import {
  LaunchSite,
  SECRET,
  COMMAND,
  LONG,
  expectGolden,
  expectQuietSuccess,
} from '../../kit/processes/launch_site.js';

const site = new LaunchSite();

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
    await site.create();
  });
  after(async () => {
    for (const name of [first, second]) {
      try {
        ip('netns', 'delete', name);
      } catch {
        // it was never made
      }
    }
    if (site.dir !== '') await site.remove();
  });
  afterEach(site.processes.expectNone);

  const node = (rank: number, command: readonly string[], nproc = '1'): Running => {
    const place = ['--nnodes', '2', '--node-rank', String(rank), '--nproc-per-node', nproc, '--head', `${HEAD}:7077`];
    const name = rank === 0 ? first : second;
    return site.processes.start('ip', ['netns', 'exec', name, site.script, ...place, ...command], { env: SECRET });
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
