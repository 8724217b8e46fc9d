/** Which servers a job may have asked: a worker's key goes to none that its owner didn't name. Pure. */
import { printable } from '../../../base/foreign_text.js';
import { JobError } from '../base/errors.js';
import type { Rights } from './rights.js';

const OWN_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** What would lead elsewhere once a path is put behind it, or says a password. */
const LEADS_ELSEWHERE = /[?#@\\]/;

/** A server as a job may ask it. */
export interface AllowedServer {
  /** Without a slash at its end. */
  readonly url: string;
  /** Whether the worker's owner named it: it alone is sent the worker's key. Others of this machine may be anybody's. */
  readonly isNamed: boolean;
}

/** @throws JobError NOT_ALLOWED */
export function allowedServer(url: string, { servers }: Pick<Rights, 'servers'>): AllowedServer {
  const parsed = URL.canParse(url) && !LEADS_ELSEWHERE.test(url) ? new URL(url) : null;
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol))
    throw new JobError(
      'NOT_ALLOWED',
      `${printable(url)} is no address of a server; give one like http://127.0.0.1:8000`,
    );
  const isNamed = servers.includes(parsed.origin);
  if (OWN_HOSTS.has(parsed.hostname) || isNamed)
    return { url: `${parsed.origin}${parsed.pathname}`.replace(/\/+$/, ''), isNamed };
  throw new JobError(
    'NOT_ALLOWED',
    `this worker asks no server at ${parsed.origin}; start it with --server ${parsed.origin}`,
  );
}
