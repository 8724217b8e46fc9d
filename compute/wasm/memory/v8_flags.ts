/** What V8 is told before it compiles kernels. Flags are the process's: its threads have them too. */
import { setFlagsFromString } from 'node:v8';

/** V8 may compile modules with relaxed SIMD from now on: Node 20 has it behind a flag. */
export function allowRelaxedSimd(version: string = process.versions.v8): void {
  if (isBefore(version, 11, 4)) setFlagsFromString('--experimental-wasm-relaxed-simd');
}

/**
 * V8 joins pairs of 128-bit operations into 256-bit ones from now on, also in modules that it has but not optimised yet. A V8 that doesn't know how says so on standard
 * error: only where a trial showed that it does. Nothing takes it back.
 */
export const widenSimd = (): void => setFlagsFromString('--experimental-wasm-revectorize');

/**
 * For trials: functions are optimised as soon as they executed about so many bytes, before they are called again, instead of some time later in another thread.
 *
 * @param afterBytes of no account before V8 13, which optimises everything at once, or would again and again
 */
export function optimiseSoon(afterBytes: number, version: string = process.versions.v8): void {
  const flags = isBefore(version, 13, 0)
    ? ['--no-liftoff']
    : ['--wasm-sync-tier-up', `--wasm-tiering-budget=${afterBytes}`];
  for (const flag of flags) setFlagsFromString(flag);
}

/**
 * For trials: a module that `work` compiles is optimised whole, also what nobody calls, and a function that V8 can't optimise ends the process. Without what V8 learns while functions run:
 * it looks for that where there is none.
 */
export function optimisingAll(work: () => void): void {
  const flags = ['liftoff', 'wasm-lazy-compilation', 'wasm-inlining', 'wasm-inlining-call-indirect'];
  for (const flag of flags) setFlagsFromString(`--no-${flag}`);
  work();
  for (const flag of flags) setFlagsFromString(`--${flag}`);
}

function isBefore(version: string, major: number, minor: number): boolean {
  const [itsMajor = 0, itsMinor = 0] = version.split('.').map(Number);
  return itsMajor < major || (itsMajor === major && itsMinor < minor);
}
