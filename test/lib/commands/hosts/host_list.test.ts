import { expect } from 'chai';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { isOwn, parseHosts } from '../../../../lib/commands/hosts/host_list.js';

describe('the hosts of --hosts', () => {
  it('are names or addresses, with a user, with a number of ranks', () => {
    expect(parseHosts('a,b:2, me@c.example:3,[fd00::2]:4,[fe80::1%eth0],10.0.0.7', 1)).to.deep.equal([
      { destination: 'a', host: 'a', numRanks: 1 },
      { destination: 'b', host: 'b', numRanks: 2 },
      { destination: 'me@c.example', host: 'c.example', numRanks: 3 },
      { destination: 'fd00::2', host: 'fd00::2', numRanks: 4 },
      { destination: 'fe80::1%eth0', host: 'fe80::1%eth0', numRanks: 1 },
      { destination: '10.0.0.7', host: '10.0.0.7', numRanks: 1 },
    ]);
  });

  it('have the number of ranks that is meant for each where they say none', () => {
    expect(parseHosts('a,b:2', 8).map(({ numRanks }) => numRanks)).to.deep.equal([8, 2]);
  });

  const WRONG: readonly [string, RegExp][] = [
    ['', /"" is no host; give such as a,b:2/],
    ['a,,b', /"" is no host/],
    ['a:x', /"a:x" is no host/],
    ['-oProxyCommand=date', /"-oProxyCommand=date" is no host/],
    ['-l@a', /is no host/],
    ['a;date', /is no host/],
    ['fd00::2', /"fd00::2" is no host; .*\[fd00::2\]:4/],
    ['a:0', /"a:0" asks for 0 ranks; give 1 to/],
    ['a:99999999', /asks for 99999999 ranks/],
    ['a:40000,b:40000', /--hosts has 80000 ranks, and a job has at most/],
    ['a,b,a', /--hosts names a twice; give it once with its number of ranks: a:2/],
  ];
  for (const [text, message] of WRONG) {
    it(`'${text}' is refused`, () => expect(() => parseHosts(text, 1)).to.throw(UsageError, message));
  }

  it("are this machine's own by its names and addresses, but not as another user", () => {
    const own = { hostname: 'node1.cluster', addresses: ['10.0.0.1', 'fd00::1'] };
    const hosts = parseHosts('localhost,node1,node1.cluster,10.0.0.1,[fd00::1],node2,me@node1,127.0.0.2', 1);
    expect(hosts.filter((host) => isOwn(host, own)).map(({ destination }) => destination)).to.deep.equal([
      'localhost',
      'node1',
      'node1.cluster',
      '10.0.0.1',
      'fd00::1',
    ]);
  });
});
