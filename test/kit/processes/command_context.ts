/** What a command sees of the world, for tests that run one in this process. */
import { PassThrough } from 'node:stream';
import type { CommandContext } from '../../../lib/commands/base/context.js';

/** `printed()` is what was printed so far, `told()` what was said beside it. */
export function commandContext(signal: AbortSignal = new AbortController().signal): CommandContext & {
  readonly printed: () => string;
  readonly told: () => string;
} {
  let printed = '';
  const stdout = new PassThrough().setEncoding('utf8').on('data', (text: string) => (printed += text));
  let told = '';
  const stderr = new PassThrough().setEncoding('utf8').on('data', (text: string) => (told += text));
  return {
    stdout,
    stderr,
    stdin: new PassThrough().end(),
    signal,
    obeyed: () => undefined,
    env: {},
    printed: () => printed,
    told: () => told,
  };
}
