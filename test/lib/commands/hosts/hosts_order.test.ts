import { expect } from 'chai';
import { UsageError } from '../../../../lib/commands/base/context.js';
import type { LaunchArgs } from '../../../../lib/commands/launch.js';
import { hostsOrder } from '../../../../lib/commands/launch_hosts.js';

const ARGS: LaunchArgs = { command: ['generate', '--model', 'DIR'], hosts: 'a,b:2' };

describe('launch --hosts', () => {
  it('is ranks on each host, and the command here', () => {
    const order = hostsOrder({ ...ARGS, config: 'a.yaml', nprocPerNode: 4, backend: 'wasm', plugin: ['p.mjs'] }, {})!;
    expect(order.hosts.map(({ destination, numRanks }) => [destination, numRanks])).to.deep.equal([
      ['a', 4],
      ['b', 2],
    ]);
    expect(order.command).to.deep.equal(['generate', '--model', 'DIR', '--config', 'a.yaml']);
    expect(order.headOptions).to.deep.equal(['--backend', 'wasm']);
    expect(order.rankOptions).to.deep.equal(['--backend', 'wasm', '--join-timeout', '60', '--plugin', 'p.mjs']);
    expect(order.ssh.slice(0, 3)).to.deep.equal(['ssh', '-o', 'BatchMode=yes']);
  });

  it('takes another ssh by its words', () => {
    expect(hostsOrder({ ...ARGS, ssh: ' ssh  -p 2222 ' }, {})!.ssh).to.deep.equal(['ssh', '-p', '2222']);
  });

  it('without it is no matter of hosts', () => expect(hostsOrder({ command: [] }, {})).to.equal(null));

  const WRONG: readonly [string, Partial<LaunchArgs>, Record<string, string>, RegExp][] = [
    ['nodes', { nnodes: 2 }, {}, /--nnodes with --hosts, which starts every machine/],
    ['a head', { head: 'a:7077' }, {}, /--head with --hosts/],
    ['a launcher', {}, { RANK: '0', WORLD_SIZE: '2', LOCAL_RANK: '0' }, /--hosts under torchrun/],
    ['a command without ranks', { command: ['doctor'] }, {}, /generate, chat, score, serve, not for doctor/],
    ['an empty ssh', { ssh: ' ' }, {}, /--ssh is empty/],
    ['a place that is none', { listen: 'here' }, {}, /'here' is not HOST:PORT/],
    ['options of it without hosts', { hosts: undefined, remoteFolder: '/x' }, {}, /--remote-folder goes with --hosts/],
  ];
  for (const [title, args, env, message] of WRONG) {
    it(`${title} with it is refused`, () => {
      expect(() => hostsOrder({ ...ARGS, ...args }, env)).to.throw(UsageError, message);
    });
  }
});
