/** Users of NATS as its own tools make them: an operator who signs an account, which signs users; and files that hold what proves who one is. */
import { nkeys } from '@nats-io/transport-node';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

type KeyPair = ReturnType<typeof nkeys.createUser>;

const NO_LIMITS = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
const JETSTREAM = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

/** Lines of a server's configuration, and a file with the credentials of a user whom it lets in. */
export async function signedUser(dir: string): Promise<{ readonly config: string; readonly credentials: string }> {
  const [operator, system, account, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ];
  const operatorJwt = jwt(operator, operator, { type: 'operator', system_account: system.getPublicKey() });
  const accountJwt = (pair: KeyPair, limits: object): string => jwt(pair, operator, { type: 'account', limits });
  const preload = `${system.getPublicKey()}: ${accountJwt(system, NO_LIMITS)}\n${account.getPublicKey()}: ${accountJwt(account, { ...NO_LIMITS, ...JETSTREAM })}`;
  const userJwt = jwt(user, account, { type: 'user', subs: -1, data: -1, payload: -1 });
  const credentials = join(dir, 'user.creds');
  const seed = Buffer.from(user.getSeed()).toString();
  await writeFile(credentials, `${block('NATS USER JWT', userJwt)}\n${block('USER NKEY SEED', seed)}`);
  return {
    config: `operator: ${operatorJwt}\nresolver: MEMORY\nresolver_preload { ${preload} }\nsystem_account: ${system.getPublicKey()}`,
    credentials,
  };
}

/** A server's list of users by public key, and a file with the seed of one of them. */
export async function nkeyUser(dir: string): Promise<{ readonly config: string; readonly seed: string }> {
  const user = nkeys.createUser();
  const seed = join(dir, 'user.nk');
  await writeFile(seed, `${Buffer.from(user.getSeed()).toString()}\n`);
  return { config: `authorization { users = [ { nkey: ${user.getPublicKey()} } ] }`, seed };
}

const block = (name: string, text: string): string => `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`;

function jwt(subject: KeyPair, issuer: KeyPair, nats: object): string {
  const iat = Math.floor(Date.now() / 1000);
  const claims = {
    jti: randomUUID(),
    iat,
    iss: issuer.getPublicKey(),
    name: 'test',
    sub: subject.getPublicKey(),
    nats: { version: 2, ...nats },
  };
  const encoded = [{ typ: 'JWT', alg: 'ed25519-nkey' }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  const signed = encoded.join('.');
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`;
}
