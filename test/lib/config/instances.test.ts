import { expect } from 'chai';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, type ConfigErrorCode } from '../../../lib/config/errors.js';
import { placedInstances } from '../../../lib/config/instances.js';
import { loadConfig, type LoadConfigOptions } from '../../../lib/config/load.js';
import { repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Loads a file with these instances, whose name is run.yaml, in a folder with two models. */
async function load(instances: string, options: LoadConfigOptions = {}, more = '') {
  return withTempFolder(async (cwd) => {
    await mkdir(join(cwd, 'm'));
    await mkdir(join(cwd, 'other'));
    await writeFile(join(cwd, 'run.yaml'), `model: m\n${more}instances:\n${instances}`);
    return loadConfig({ file: 'run.yaml', cwd, ...options });
  });
}

const namesOf = async (instances: string): Promise<readonly string[]> =>
  placedInstances(await load(instances)).map(({ name }) => name);

describe('instances of a configuration', () => {
  it('are named by their entry, with numbers where there are several, or by their role', async () => {
    const names = await namesOf(
      '  - { count: 2 }\n  - { role: decode }\n  - {}\n  - { name: big }\n  - { name: x, count: 2 }\n  - { url: http://a:1 }',
    );
    expect(names).to.deep.equal(['mixed-0', 'mixed-1', 'decode-0', 'mixed-2', 'big', 'x-0', 'x-1', 'server-0']);
  });

  it('that come only when the load asks for it have names of their own behind the others of their entry', async () => {
    const placed = placedInstances(await load('  - { name: x, max_count: 3 }\n  - { count: 2, min_count: 1 }'));
    expect(placed.map(({ name, isSpare }) => [name, isSpare])).to.deep.equal([
      ['x-0', false],
      ['x-1', true],
      ['x-2', true],
      ['mixed-0', false],
      ['mixed-1', false],
    ]);
    const { cluster } = await load('  - { name: x, max_count: 3 }', { instance: 'x-2' });
    expect(cluster.id).to.equal('x-2');
  });

  it('listen at ports one behind the other where the first has one, and anywhere else at any free one', async () => {
    const placed = placedInstances(await load('  - { host: B, port: 8100, count: 2 }\n  - {}'));
    expect(placed.map(({ host, port }) => [host, port])).to.deep.equal([
      ['b', 8100],
      ['b', 8101],
      [null, 0],
    ]);
  });

  it('have what the file says, and over it what their entry says', async () => {
    const list = '  - { role: decode, ranks: 2, set: { engine: { block_size: 4 }, model: other } }\n  - {}';
    const more = 'engine: { seed: 3 }\nserver: { port: 9000, tls: { cert: c, key: k } }\n';
    const [one, other, whole] = await Promise.all([
      load(list, { instance: 'decode-0' }, more),
      load(list, { instance: 'mixed-0' }, more),
      load(list, {}, more),
    ]);
    expect([one.cluster.enabled, one.cluster.id, one.cluster.role]).to.deep.equal([true, 'decode-0', 'decode']);
    expect([one.parallel.ranks, one.engine.block_size, one.engine.seed]).to.deep.equal([2, 4, 3]);
    expect(one.model).to.match(/other$/);
    expect([one.server.host, one.server.port, one.server.tls.cert]).to.deep.equal(['127.0.0.1', 0, null]);
    expect([other.cluster.role, other.parallel.ranks, other.engine.block_size]).to.deep.equal(['mixed', 1, 16]);
    expect([whole.cluster.enabled, whole.server.port, whole.engine.block_size]).to.deep.equal([false, 9000, 16]);
  });

  it('of other machines listen there, with the TLS of the file; flags and --set win over all', async () => {
    const list = '  - { host: 10.0.0.2, port: 8100, ranks: 4 }';
    const more = 'server: { tls: { cert: c, key: k } }\n';
    const options = { instance: 'mixed-0', flags: { parallel: { ranks: 3 } }, overrides: ['server.port=1'] };
    const { server, parallel } = await load(list, options, more);
    expect([server.host, server.port, server.tls.cert, parallel.ranks]).to.deep.equal(['10.0.0.2', 1, 'c', 3]);
  });

  const WRONG: readonly (readonly [
    claim: string,
    list: string,
    code: ConfigErrorCode,
    line: number,
    message: RegExp,
  ])[] = [
    ['a misspelt key', '  - {}\n  - { rank: 2 }', 'UNKNOWN_KEY', 4, /"rank" in "instances.1"; did you mean "ranks"\?/],
    ['an unknown key', '  - { xyzzy: 2 }', 'UNKNOWN_KEY', 3, /remove it \(its keys are name, count, min_count/],
    [
      'a role that there is not',
      '  - role: decoder',
      'INVALID_VALUE',
      3,
      /did you mean "decode"\?\); allowed is mixed/,
    ],
    ['a text as a number', '  - ranks: two', 'WRONG_TYPE', 3, /"instances.0.ranks" is "two"; allowed is an integer/],
    ['no instance', '  - { count: 0 }', 'INVALID_VALUE', 3, /allowed is an integer from 1 to 1024/],
    ['a number as an entry', '  - 4', 'INVALID_VALUE', 3, /"instances.0" is 4; allowed is a list of \{ name, count/],
    ['one name twice', '  - { name: a }\n  - { name: a }', 'INVALID_VALUE', 4, /two instances are called "a"/],
    ['a url with ranks', '  - { url: http://a:1, ranks: 2 }', 'INVALID_VALUE', 3, /has a url: .* leave "ranks" out/],
    ['a url with settings', '  - { url: http://a:1, set: { model: m } }', 'INVALID_VALUE', 3, /leave "set" out/],
    ['an API key without a url', '  - { api_key_env: KEY }', 'INVALID_VALUE', 3, /give "url" too/],
    ['a machine without port or bus', '  - { host: b }', 'INVALID_VALUE', 3, /give "port" too, or a bus of NATS/],
    ['ports beyond the last', '  - { port: 65535, count: 2 }', 'INVALID_VALUE', 3, /go beyond 65535/],
    ['ports of spare ones beyond the last', '  - { port: 65535, max_count: 2 }', 'INVALID_VALUE', 3, /go beyond 65535/],
    ['fewer than the fewest', '  - { count: 1, min_count: 2 }', 'INVALID_VALUE', 3, /"count" 1: more than that/],
    ['more than the most', '  - { count: 2, max_count: 1 }', 'INVALID_VALUE', 3, /"count" 2: fewer than that/],
    ['spare ones elsewhere', '  - { host: b, port: 1, max_count: 2 }', 'INVALID_VALUE', 3, /instances of this machine/],
    ['a url with spare ones', '  - { url: http://a:1, max_count: 2 }', 'INVALID_VALUE', 3, /leave "max_count" out/],
    ['too many', '  - { count: 1024 }\n  - {}', 'INVALID_VALUE', 2, /they are 1025 instances; at most 1024/],
    ['a misspelt setting', '  - { set: { enigne: {} } }', 'UNKNOWN_KEY', 3, /did you mean "engine"\?/],
    [
      'a wrong setting',
      '  - count: 2\n    set:\n      engine:\n        seed: x',
      'WRONG_TYPE',
      6,
      /"engine.seed" is "x"; allowed is an integer ≥ 0/,
    ],
    [
      'a setting that the entry has a key for',
      '  - { set: { parallel: { ranks: 2 } } }',
      'INVALID_VALUE',
      3,
      /"instances.0.set.parallel.ranks" can't be here; use "ranks" of this entry/,
    ],
  ];
  for (const [claim, list, code, line, message] of WRONG) {
    it(`${claim} is refused with its line`, async () => {
      const error = await errorOf(ConfigError, () => load(list));
      expect(error.message).to.match(message);
      expect([error.code, error.file, error.line]).to.deep.equal([code, 'run.yaml', line], error.message);
    });
  }

  it('come with the package: two alike, and one that computes prompts for two others', async () => {
    const namesIn = async (file: string) =>
      placedInstances(await loadConfig({ file: join(repoRoot(), 'configs', file) })).map(({ name }) => name);
    expect(await namesIn('cluster_mixed.yaml')).to.deep.equal(['mixed-0', 'mixed-1']);
    expect(await namesIn('cluster_pd.yaml')).to.deep.equal(['prefill-0', 'decode-0', 'decode-1']);
  });

  it('a name that none has is answered with the nearest one', async () => {
    const messageOf = async (list: string, instance: string) =>
      (await errorOf(ConfigError, () => load(list, { instance }))).message;
    expect(await messageOf('  - { role: decode }', 'decode0')).to.match(/\(decode-0\); did you mean "decode-0"\?$/);
    expect(await messageOf('  []', 'a')).to.match(/lists no "instances"$/);
    expect(await messageOf('  - { name: a, url: http://b:1 }', 'a')).to.match(/runs already, at http:\/\/b:1/);
  });
});
