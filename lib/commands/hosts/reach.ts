/** By which of its addresses this machine reaches a host. */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { lookup } from 'node:dns/promises';
import { createServer, type AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { causeText } from '../../../base/foreign_text.js';
import { UsageError } from '../base/context.js';
import type { HostRanks } from './host_list.js';

/** ssh reads its configuration and prints it. */
const ASK_MS = 5000;
/** No packet is sent there: the system only says which way it would go. */
const ANY_PORT = 22;

/** The addresses of all interfaces. */
export const ownAddresses = (): string[] =>
  Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));

/** @throws UsageError: the host has no address, or there is no way to it */
export async function addressTowards(host: HostRanks, ssh: readonly string[]): Promise<string> {
  const { address, family } = await addressOf(host, ssh);
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  try {
    socket.connect(ANY_PORT, address);
    await once(socket, 'connect');
    return socket.address().address;
  } catch (cause) {
    const what = `this machine has no way to ${host.host} (${address}: ${causeText(cause)})`;
    throw new UsageError(
      `${what}; look at its interfaces and routes, or give --advertise with its address for the hosts`,
    );
  } finally {
    socket.close();
  }
}

/** A port that nothing listens at, at this address or, where it isn't one of this machine, at any. */
export async function freePort(host: string): Promise<number> {
  const server = createServer();
  try {
    server.listen({ host, port: 0 });
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  } catch (cause) {
    throw new UsageError(
      `nothing can listen at ${host} (${causeText(cause)}); give --listen HOST:PORT of this machine`,
    );
  } finally {
    server.close();
  }
}

/** By the resolver; a name that ssh alone knows, by ssh. */
async function addressOf(
  { host, destination }: HostRanks,
  ssh: readonly string[],
): Promise<{ readonly address: string; readonly family: number }> {
  try {
    return await lookup(host);
  } catch (cause) {
    const known = await nameOf(destination, ssh);
    if (known !== null && known !== host) {
      const found = await lookup(known).catch(() => null);
      if (found !== null) return found;
    }
    const what = `no address of ${host} is known here (${causeText(cause)})`;
    throw new UsageError(
      `${what}; name it by its address, or give --advertise with this machine's address for the hosts`,
    );
  }
}

async function nameOf(destination: string, [program = '', ...words]: readonly string[]): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)(program, [...words, '-G', destination], { timeout: ASK_MS });
    return /^hostname (\S+)$/m.exec(stdout)?.[1] ?? null;
  } catch {
    return null; // a program that isn't OpenSSH's need not know
  }
}
