/** Python's package index, through its own client, which knows this machine's mirrors, proxies and certificates. */
import { mkdtemp, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { NativeError } from './errors.js';
import { lastLines } from './program.js';
import { runIn, scratchPath, type Workshop } from './workshop.js';

/**
 * Fetches the newest wheel that a requirement allows and returns its path. pip checks its digest. Each is unpacked once, so that pip's cache would keep
 * gigabytes for nothing.
 *
 * @param requirement as pip reads it: 'tensorflow==2.21.0'
 * @param target pip's options that say for which machine
 * @throws NativeError MISSING_PROGRAM, DOWNLOAD_FAILED; the signal's reason when it was aborted
 */
export async function fetchWheel(requirement: string, target: readonly string[], shop: Workshop): Promise<string> {
  const dest = await mkdtemp(scratchPath(shop, 'wheel-'));
  const options = ['--no-deps', '--only-binary=:all:', '--no-cache-dir', '--progress-bar', 'off', ...target];
  const end = await runIn(shop, 'python3', ['-m', 'pip', 'download', ...options, '--dest', dest, requirement]);
  if (end.exitCode !== 0) throw downloadFailed(`pip can't fetch ${requirement} (${lastLines(end)})`);
  const wheel = (await readdir(dest)).find((file) => file.endsWith('.whl'));
  if (wheel === undefined) throw downloadFailed(`pip fetched no wheel of ${requirement}`);
  return join(dest, wheel);
}

/** tensorflow-2.21.0-cp312-….whl → 'tensorflow 2.21.0'. */
export const wheelTitle = (wheel: string): string => basename(wheel).split('-').slice(0, 2).join(' ');

/** What ends every failed fetch. */
export const downloadFailed = (what: string): NativeError =>
  new NativeError('DOWNLOAD_FAILED', `${what}; check the network and the registry's configuration, or use --from`);
