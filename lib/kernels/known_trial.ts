/** What trials of the kernels came to, kept in the user's cache: the same Node on the same processor with the same kernels does the same again. */
import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { cachedDataVersionTag } from 'node:v8';
import * as z from 'zod';
import { kernelModuleUrl } from '../../compute/wasm/memory/kernel_settings.js';
import { VERSION } from '../config/package_files.js';
import { userCache } from '../config/user_cache.js';
import { cpuFlags } from './cpu_flags.js';
import { NOT_STARTED, type KernelTrial } from './kernel_trial.js';
import { tryKernels } from './run_trial.js';

/** What ends a trial early, who hears that it takes long, and what tests have otherwise. */
export interface KnownTrialOptions {
  readonly signal?: AbortSignal | undefined;
  /** A line without its end, where the trial takes its time. */
  readonly onNotice?: ((line: string) => void) | undefined;
  /** What was known is tried again. Default false. */
  readonly isAnew?: boolean;
  /** Null: nothing is kept. Default: under the user's home. */
  readonly file?: string | null;
  /** Default: {@link tryKernels}. */
  readonly runTrial?: (options: Pick<KnownTrialOptions, 'signal'>) => Promise<KernelTrial>;
  /** Default: Date.now(). */
  readonly nowMs?: number;
  /** Default: {@link V8_STATE}. */
  readonly v8State?: number;
}

/** Stands for V8's flags, those of NODE_OPTIONS too, and for the processor's features. Of the process's beginning: what we set later is what the trial is about. */
const V8_STATE = cachedDataVersionTag();

const PATIENCE_MS = 2000;

/** What the kernels can be here: known from an earlier time, or tried now. Never rejects. */
export async function knownTrial(options: KnownTrialOptions = {}): Promise<KernelTrial> {
  const { file = cacheFile(), runTrial = tryKernels, isAnew = false, signal, onNotice } = options;
  const { nowMs = Date.now(), v8State = V8_STATE } = options;
  const key = await machineKey(v8State).catch(() => null); // without the files the trial shows what is wrong
  const known = file === null || key === null || isAnew ? null : await readCache(file, key, nowMs);
  if (known !== null) return known;
  const text = 'trying the kernels, to know how this machine computes fastest; from now on it is known';
  const timer = setTimeout(() => onNotice?.(text), PATIENCE_MS);
  const trial = await runTrial({ signal }).finally(() => clearTimeout(timer));
  if (file === null || key === null || signal?.aborted === true || isOfTheMoment(trial)) return trial;
  await writeCache(file, { key, triedAtMs: nowMs, trial }).catch(() => undefined);
  return trial;
}

/** A flag that does nothing gains less, but for chance. */
const CHANCE_GAIN = 1.1;
/** How long what isn't sure is believed: it costs a trial at most this often, and a machine that was busy isn't slow for long. */
const UNSURE_MS = 24 * 3_600_000;

/** What failed may have to do with the moment, and so may a gain that is too small. */
const isSure = ({ lacks256, lacksFma, gain }: KernelTrial): boolean =>
  lacks256?.kind !== 'failed' && lacksFma?.kind !== 'failed' && (lacks256 === null || (gain ?? 0) < CHANCE_GAIN);

/** What the system had no more of, files, processes or memory, says nothing of the kernels. */
const SHORTAGE = /\b(EMFILE|ENFILE|EAGAIN|ENOMEM)\b/;

/** No trial began, or it couldn't go on, which is found out as fast the next time. */
const isOfTheMoment = ({ lacks256, lacksFma }: KernelTrial): boolean =>
  [lacks256, lacksFma].some((lack) => lack !== null && (lack.why.startsWith(NOT_STARTED) || SHORTAGE.test(lack.why)));

/** All that an outcome depends on. */
async function machineKey(v8State: number): Promise<string> {
  const { versions, arch, platform } = process;
  const hash = createHash('sha256');
  const facts = [versions.node, versions.v8, arch, platform, v8State, cpus()[0]?.model ?? null];
  hash.update(JSON.stringify([VERSION, ...facts, cpuFlags()]));
  const here = new URL('./', import.meta.url);
  const own = (await readdir(here)).filter((name) => name.endsWith('.js')).toSorted();
  const modules = [
    kernelModuleUrl({ fma: false }),
    kernelModuleUrl({ fma: true }),
    new URL('../../comm/codec/codec.wasm', here),
    ...own.map((name) => new URL(name, here)),
  ];
  for (const url of modules) hash.update(await readFile(url));
  return hash.digest('hex');
}

/** A file per Node; null where nothing can be kept. */
function cacheFile(): string | null {
  const folder = userCache('kernels');
  return folder === null ? null : join(folder, `${process.version}-${process.arch}.json`);
}

const LACK = z.strictObject({ kind: z.enum(['lacking', 'failed']), why: z.string() }).nullable();
const CACHE = z.strictObject({
  key: z.string(),
  triedAtMs: z.number(),
  trial: z.strictObject({
    lacks256: LACK,
    lacksFma: LACK,
    tileRows: z.record(z.string(), z.int()),
    gain: z.number().nullable(),
  }),
});

/** Null where nothing is kept, or of another machine, or no longer to be believed, or where it is damaged. */
async function readCache(file: string, key: string, nowMs: number): Promise<KernelTrial | null> {
  try {
    const { key: its, triedAtMs, trial } = CACHE.parse(JSON.parse(await readFile(file, 'utf8')));
    const ageMs = nowMs - triedAtMs;
    return its === key && (isSure(trial) || (ageMs >= 0 && ageMs < UNSURE_MS)) ? trial : null;
  } catch {
    return null;
  }
}

async function writeCache(file: string, cache: z.infer<typeof CACHE>): Promise<void> {
  const partial = `${file}.${randomUUID()}`;
  try {
    await writeFile(partial, JSON.stringify(cache));
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
