/** Trying native code in a process of its own, which may die of a library that does not suit the processor. */
import { fork } from 'node:child_process';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Environment } from './program.js';

/** The variables that the process sees, and what ends it. */
export interface TrialOptions {
  readonly env: Environment;
  readonly signal: AbortSignal;
}

/** What the process told, or how it ended without a word; and what TensorFlow said meanwhile. */
export type TrialEnd<T> =
  { readonly told: T; readonly log: string } | { readonly reason: string; readonly log: string };

/**
 * Runs a JavaScript file and waits for its message.
 *
 * @param file a path, or as seen from this folder
 *
 * @throws the signal's reason when it was aborted
 */
export async function runTrial<T>(
  file: string,
  args: readonly string[],
  { env, signal }: TrialOptions,
): Promise<TrialEnd<T>> {
  const child = fork(resolve(fileURLToPath(new URL('.', import.meta.url)), file), args, {
    ...{ stdio: ['ignore', 'ignore', 'pipe', 'ipc'], signal },
    env: { ...env, TF_CPP_MIN_LOG_LEVEL: '1' }, // warnings say why there is no GPU
  });
  let log = '';
  let told: T | undefined;
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (log += text));
  child.once('message', (message) => (told = message as T));
  const reason = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, killer) => resolve(`it ended with ${killer ?? `exit code ${code}`}`));
  }).catch((error: unknown) => {
    throw signal.aborted ? signal.reason : error;
  });
  return told === undefined ? { reason, log } : { told, log };
}
