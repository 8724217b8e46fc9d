/** What trials of the kernels came to, kept in the user's cache: the same Node on the same processor with the same kernels does the same again. */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { cpus, homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { kernelModuleUrl } from '../../compute/wasm/memory/kernel_settings.js';
import type { KernelTrial } from './kernel_trial.js';
import { tryKernels } from './run_trial.js';

/** What ends a trial early, and what tests have otherwise. */
export interface KnownTrialOptions {
  readonly signal?: AbortSignal | undefined;
  /** Null: nothing is kept. Default: under the user's home. */
  readonly file?: string | null;
  /** Default: {@link tryKernels}. */
  readonly runTrial?: (options: Pick<KnownTrialOptions, 'signal'>) => Promise<KernelTrial>;
}

/** What the kernels can be here: known from an earlier time, or tried now. Never rejects. */
export async function knownTrial({
  file = cacheFile(),
  runTrial = tryKernels,
  signal,
}: KnownTrialOptions = {}): Promise<KernelTrial> {
  const key = await machineKey().catch(() => null);
  if (key === null) return runTrial({ signal }); // the trial shows what is wrong with the files
  const known = file === null ? null : await readCache(file, key);
  if (known !== null) return known;
  const trial = await runTrial({ signal });
  if (file !== null && isSure(trial)) await writeCache(file, { key, trial }).catch(() => undefined);
  return trial;
}

/** A flag that does nothing gains less, but for chance. */
const CHANCE_GAIN = 1.1;

/** What failed may have to do with the moment, and so may a gain that is too small. */
const isSure = ({ lacks256, lacksFma, gain }: KernelTrial): boolean =>
  lacks256?.kind !== 'failed' && lacksFma?.kind !== 'failed' && (lacks256 === null || (gain ?? 0) < CHANCE_GAIN);

/** All that an outcome depends on. */
async function machineKey(): Promise<string> {
  const { versions, arch, platform, execArgv } = process;
  const hash = createHash('sha256');
  hash.update(JSON.stringify([versions.node, versions.v8, arch, platform, execArgv, cpus()[0]?.model ?? null]));
  const modules = [
    kernelModuleUrl({ fma: false }),
    kernelModuleUrl({ fma: true }),
    new URL('./try_kernels.js', import.meta.url),
  ];
  for (const url of modules) hash.update(await readFile(url));
  return hash.digest('hex');
}

/** A file per Node; null where the user has no home: none is made. */
function cacheFile(): string | null {
  try {
    const home = homedir(); // throws where the system knows no user of this number
    const name = `${process.version}-${process.arch}.json`;
    return existsSync(home) ? join(resolve(home, '.cache', 'expertwire', 'kernels'), name) : null;
  } catch {
    return null;
  }
}

const LACK = z.strictObject({ kind: z.enum(['lacking', 'failed']), why: z.string() }).nullable();
const CACHE = z.strictObject({
  key: z.string(),
  trial: z.strictObject({
    lacks256: LACK,
    lacksFma: LACK,
    tileRows: z.record(z.string(), z.int()),
    gain: z.number().nullable(),
  }),
});

/** Null where nothing is kept, or of another machine, or where it is damaged. */
async function readCache(file: string, key: string): Promise<KernelTrial | null> {
  try {
    const cache = CACHE.parse(JSON.parse(await readFile(file, 'utf8')));
    return cache.key === key ? cache.trial : null;
  } catch {
    return null;
  }
}

async function writeCache(file: string, cache: { readonly key: string; readonly trial: KernelTrial }): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const partial = `${file}.${randomUUID()}`;
  try {
    await writeFile(partial, JSON.stringify(cache));
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
