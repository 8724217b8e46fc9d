/** Which servers a job may have asked: a worker's key goes to none that its owner didn't name. Pure. */
import { printable } from '../../../base/foreign_text.js';
import { JobError } from '../base/errors.js';
import type { Rights } from './rights.js';

const OWN_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** The address, where it may be asked. @throws JobError NOT_ALLOWED */
export function allowedServer(url: string, { servers }: Pick<Rights, 'servers'>): string {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol))
    throw new JobError(
      'NOT_ALLOWED',
      `${printable(url)} is no address of a server; give one like http://127.0.0.1:8000`,
    );
  if (OWN_HOSTS.has(parsed.hostname) || servers.includes(parsed.origin)) return url;
  throw new JobError(
    'NOT_ALLOWED',
    `this worker asks no server at ${parsed.origin}; start it with --server ${parsed.origin}`,
  );
}
