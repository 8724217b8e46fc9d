/** From configuration and environment to how a server of NATS is reached. Secrets are files or variables of the environment, under the names that NATS' own command line has. */
import {
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node';
import type { Authenticator, NodeConnectionOptions } from '@nats-io/transport-node';
import { readFileSync } from 'node:fs';
import { printable } from '../../../../base/foreign_text.js';
import type { ExpertwireConfig } from '../../../config/schema.js';
import { ClusterError } from '../../base/errors.js';

/** Where the servers are, and what is proved to them. */
export type NatsPlace = Pick<ExpertwireConfig['cluster'], 'bus' | 'nats' | 'ttl_ms'>;

/** Of the process. */
export type NatsEnvironment = Readonly<Record<string, string | undefined>>;

/** A connection attempt, or an answer to one. */
const TIMEOUT_MS = 5000;
/** Between attempts to come back, and a random part more: all come back at once otherwise. */
const RECONNECT_MS = 250;

/** How a connection is made, and made again for ever. @throws ClusterError BUS_FAILED: an address that says a password */
export function natsOptionsOf({ bus, nats, ttl_ms: ttlMs }: NatsPlace, env: NatsEnvironment): NodeConnectionOptions {
  const servers = bus.split(',');
  const told = servers.find((server) => server.includes('@'));
  if (told !== undefined) {
    const text =
      'the address of a server of NATS has a user or a password; leave it out, and set NATS_USER and NATS_PASSWORD';
    throw new ClusterError('BUS_FAILED', text);
  }
  const authenticator = authenticatorOf(nats.credentials, env);
  const tls = tlsOf(nats.tls, servers, env);
  return {
    servers,
    name: 'expertwire',
    timeout: TIMEOUT_MS,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_MS,
    reconnectJitter: RECONNECT_MS,
    reconnectJitterTLS: RECONNECT_MS,
    // Credentials may be renewed meanwhile.
    ignoreAuthErrorAbort: true,
    // Who hears nothing is found out before others miss it.
    pingInterval: Math.max(Math.floor(ttlMs / 5), 100),
    maxPingOut: 2,
    ...(authenticator !== null && { authenticator }),
    ...(tls !== null && { tls }),
  };
}

function authenticatorOf(credentials: string | null, env: NatsEnvironment): Authenticator | null {
  const creds = credentials ?? env.NATS_CREDS;
  if (isSet(creds)) return renewed(creds, credsAuthenticator);
  const { NATS_NKEY: nkey, NATS_TOKEN: token, NATS_USER: user, NATS_PASSWORD: password } = env;
  if (isSet(nkey)) return renewed(nkey, (seed) => nkeyAuthenticator(Buffer.from(seed.toString().trim())));
  if (isSet(token)) return tokenAuthenticator(token);
  return isSet(user) ? usernamePasswordAuthenticator(user, password) : null;
}

/** Reads its file again whenever the connection is made again, and goes on with what it has where that can't be: NATS' client would give up for ever. */
function renewed(path: string, of: (secret: Buffer) => Authenticator): Authenticator {
  let known = of(secretOf(path));
  try {
    known('');
  } catch (cause) {
    throw new ClusterError('BUS_FAILED', `the file ${printable(path)} holds no credentials; see what it is`, { cause });
  }
  return (nonce) => {
    try {
      const next = of(secretOf(path));
      const auth = next(nonce);
      known = next;
      return auth;
    } catch {
      return known(nonce);
    }
  };
}

function tlsOf(
  given: NatsPlace['nats']['tls'],
  servers: readonly string[],
  env: NatsEnvironment,
): NonNullable<NodeConnectionOptions['tls']> | null {
  const [cert, key, ca] = [given.cert ?? env.NATS_CERT, given.key ?? env.NATS_KEY, given.ca ?? env.NATS_CA];
  const files = {
    ...(isSet(cert) && { certFile: cert }),
    ...(isSet(key) && { keyFile: key }),
    ...(isSet(ca) && { caFile: ca }),
  };
  const isWanted = Object.keys(files).length > 0 || servers.some((server) => server.startsWith('tls://'));
  return isWanted ? files : null;
}

const isSet = (path: string | undefined): path is string => path !== undefined && path !== '';

function secretOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ClusterError(
      'BUS_FAILED',
      `the credentials at ${printable(path)} can't be read; see that they are there`,
      { cause },
    );
  }
}
