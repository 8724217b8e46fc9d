import { nkeys } from '@nats-io/transport-node';
import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { natsOptionsOf, type NatsPlace } from '../../../../../lib/cluster/bus/nats/nats_options.js';
import { CLUSTER_DEFAULTS } from '../../../../../lib/config/cluster_schema.js';
import { withTempFolder } from '../../../../kit/temp_folder.js';

const place = (others: Partial<NatsPlace> = {}): NatsPlace => ({
  ...CLUSTER_DEFAULTS,
  bus: 'nats://a:1,nats://b:2',
  ...others,
});

/** A user, and the seed that proves it. */
function user(): { readonly seed: string; readonly key: string } {
  const pair = nkeys.createUser();
  return { seed: Buffer.from(pair.getSeed()).toString(), key: pair.getPublicKey() };
}

/** What a server would be shown. */
const shownTo = (given: NatsPlace, env: Record<string, string>): unknown => {
  const { authenticator } = natsOptionsOf(given, env);
  return typeof authenticator === 'function' ? authenticator('nonce') : null;
};

describe('how a server of NATS is reached', () => {
  it('is tried for ever at all addresses, and a connection that passes nothing on is found before others miss it', () => {
    const options = natsOptionsOf(place({ ttl_ms: 5000 }), {});
    expect(options.servers).to.deep.equal(['nats://a:1', 'nats://b:2']);
    expect(options).to.include({ maxReconnectAttempts: -1, pingInterval: 1000, maxPingOut: 2 });
    expect(options).not.to.have.any.keys('authenticator', 'tls');
  });

  it('is by what the environment holds, under the names that NATS’ command line has', () => {
    expect(shownTo(place(), { NATS_USER: 'u', NATS_PASSWORD: 'p' })).to.deep.equal({ user: 'u', pass: 'p' });
    expect(shownTo(place(), { NATS_TOKEN: 't', NATS_USER: 'u' })).to.deep.equal({ auth_token: 't' });
    expect(shownTo(place(), { NATS_USER: '', NATS_TOKEN: '' }), 'set and empty').to.equal(null);
  });

  it('is by files of the configuration before those of the environment', () => {
    const tls = { cert: '/c.pem', key: null, ca: null };
    const options = natsOptionsOf(place({ nats: { credentials: null, tls } }), {
      NATS_CERT: '/x.pem',
      NATS_KEY: '/k.pem',
    });
    expect(options.tls).to.deep.equal({ certFile: '/c.pem', keyFile: '/k.pem' });
    expect(natsOptionsOf(place({ bus: 'tls://a:1' }), {}).tls, 'by its address alone').to.deep.equal({});
  });

  it('is by the seed that its file holds now, and by the last one while the file can’t be read', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'seed');
      const [first, second] = [user(), user()];
      await writeFile(file, `${first.seed}\n`);
      const { authenticator } = natsOptionsOf(place(), { NATS_NKEY: file });
      const keyOf = (): unknown => (authenticator as (nonce: string) => { readonly nkey: string })('n').nkey;
      expect(keyOf()).to.equal(first.key);
      await writeFile(file, second.seed);
      expect(keyOf()).to.equal(second.key);
      await writeFile(file, 'half of it');
      expect(keyOf()).to.equal(second.key);
    }));
});
