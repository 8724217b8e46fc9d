import { UsageError } from './context.js';

/** Where something listens. `host`: a name or an IP address, without brackets; `port`: at most 65535. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** 'HOST:PORT' or '[IPv6]:PORT'. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d+)$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65535) {
    throw new UsageError(`'${text}' is not HOST:PORT; for example 10.0.0.1:7000`);
  }
  return { host, port };
}

/** The way back: brackets around IPv6 addresses. */
export const formatAddress = ({ host, port }: Address): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
