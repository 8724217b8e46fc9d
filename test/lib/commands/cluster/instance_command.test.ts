import { expect } from 'chai';
import { resolve } from 'node:path';
import { instanceArgs, instanceKinds, lineFor, threadsOf } from '../../../../lib/commands/cluster/instance_command.js';
import type { ClusterArgs } from '../../../../lib/commands/cluster/cluster_options.js';
import { placedInstances } from '../../../../lib/config/instances.js';
import { loadConfig, type PartialConfig } from '../../../../lib/config/load.js';
import { moe7m } from '../../../kit/paths.js';

async function machineOf(instances: PartialConfig['instances'], numCores = 8, more: PartialConfig = {}) {
  const config = await loadConfig({ base: { model: moe7m(), instances, ...more } });
  return { config, placed: placedInstances(config), numCores };
}

const FILE: ClusterArgs = { file: 'c.yaml' };
const sets = (args: readonly string[]): string[] => args.filter((_, i) => args[i - 1] === '--set');

describe('what an instance is started with', () => {
  it('is its name in the file, and what the user gave, which comes last', async () => {
    const machine = await machineOf([{ count: 2 }]);
    const given = { model: 'M', backend: 'wasm', apiKeyFile: 'K', plugin: ['p.mjs'], set: ['a=1', 'b=2'] };
    const args = instanceArgs({ ...FILE, ...given }, machine.placed[1]!, machine);
    expect(args.slice(0, 4)).to.deep.equal(['--config', resolve('c.yaml'), '--instance', 'mixed-1']);
    expect(args.join(' ')).to.contain('--model M --backend wasm --api-key-file K --plugin p.mjs');
    expect(sets(args)).to.deep.equal(['parallel.threads=4', 'server.log_level=warn', 'a=1', 'b=2']);
  });

  it('all ranks of all instances of a machine share its cores', async () => {
    expect(threadsOf(await machineOf([{ count: 2, ranks: 2 }, {}], 10))).to.equal(2);
    expect(threadsOf(await machineOf([{ count: 3 }], 2))).to.equal(1);
    expect(threadsOf(await machineOf([{}, { host: 'b', port: 1 }, { url: 'http://a:1' }], 4))).to.equal(4);
    expect(threadsOf(await machineOf([{}], 64))).to.equal(16);
  });

  it('threads and a level of the log that somebody chose stay', async () => {
    const chosen = { parallel: { threads: 3 } } as const;
    const own = { set: { server: { log_level: 'info' } } } as const;
    const machine = await machineOf([own, { set: { server: {} } }], 8, chosen);
    expect(sets(instanceArgs(FILE, machine.placed[0]!, machine))).to.deep.equal([]);
    expect(sets(instanceArgs(FILE, machine.placed[1]!, machine))).to.deep.equal(['server.log_level=warn']);
    const loud = await machineOf([{}], 8, { ...chosen, server: { log_level: 'debug' } });
    expect(sets(instanceArgs(FILE, loud.placed[0]!, loud))).to.deep.equal([]);
  });

  it('is alike for all of an entry, of which so many run at first, and so many stay', async () => {
    const { config, placed } = await machineOf([{ count: 2, min_count: 1, max_count: 3 }, { role: 'decode' }]);
    expect(instanceKinds(config, placed)).to.deep.equal([
      { names: ['mixed-0', 'mixed-1', 'mixed-2'], numAtStart: 2, min: 1 },
      { names: ['decode-0'], numAtStart: 1, min: 1 },
    ]);
  });

  it('on another machine is a line for a person', () => {
    expect(lineFor('c.yaml', 'x')).to.equal('./launch.sh -- serve --config c.yaml --instance x');
  });
});
