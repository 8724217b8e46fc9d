/** Standard input that brings the job secret, and whose end tells that whoever started these ranks is gone. Why: docs/decisions/launching.md#ssh-is-told-a-secret-and-ends-with-its-input */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { UsageError } from '../base/context.js';
import { EngineError } from '../../protocol/errors.js';

/** More is no secret. */
const MAX_SECRET_CHARS = 4096;

/** What standard input said, and its end. */
export interface AttachedInput {
  readonly secret: string;
  /** Aborted with HEAD_LOST as the input ends. */
  readonly ended: AbortSignal;
  /** Hears no more of it: an open input would keep the process alive. Idempotent. */
  close(): void;
}

/** Waits for the first line. @throws UsageError: there is none, or it is no secret; the signal's reason */
export async function attachInput(stdin: Readable, signal: AbortSignal): Promise<AttachedInput> {
  const lines = createInterface({ input: stdin });
  const gone = new AbortController();
  lines.once('close', () =>
    gone.abort(new EngineError('HEAD_LOST', 'standard input has ended, and with it whoever started these ranks')),
  );
  const close = (): void => lines.close();
  const secret = await firstLine(lines, AbortSignal.any([signal, gone.signal])).catch((error: unknown) => {
    close();
    if (signal.aborted) throw error;
    throw new UsageError('--secret-file -: standard input ended before its first line, the job secret; keep it open');
  });
  if (secret !== '' && secret.length <= MAX_SECRET_CHARS) return { secret, ended: gone.signal, close };
  close();
  const what = secret === '' ? 'is empty' : `has ${secret.length} characters`;
  throw new UsageError(`--secret-file -: the first line of standard input ${what}; give a line of random characters`);
}

function firstLine(lines: ReturnType<typeof createInterface>, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) return onAbort();
    lines.once('line', (line) => resolve(line.trim()));
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
