/** What V8 is told before it compiles kernels. Flags are the process's: its threads have them too. */
import { setFlagsFromString } from 'node:v8';

/** Since when relaxed SIMD needs no flag. */
const RELAXED_SIMD_V8 = [11, 4] as const;

/** V8 may compile modules with relaxed SIMD from now on: Node 20 has it behind a flag. */
export function allowRelaxedSimd(version: string = process.versions.v8): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [fromMajor, fromMinor] = RELAXED_SIMD_V8;
  if (major < fromMajor || (major === fromMajor && minor < fromMinor)) {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
  }
}

/**
 * V8 joins pairs of 128-bit operations into 256-bit ones from now on, also in modules that it has but not optimised yet. A V8 that doesn't know how says so on standard
 * error: only where a trial showed that it does. Nothing takes it back.
 */
export const widenSimd = (): void => setFlagsFromString('--experimental-wasm-revectorize');
