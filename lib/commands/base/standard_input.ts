import { addAbortSignal } from 'node:stream';
import type { CommandContext } from './context.js';

/** What an option that names a file takes for standard input. */
export const STANDARD_INPUT = '-';

/** All of standard input. @throws AbortError where a signal ends the wait for it; what reading throws */
export async function readStandardInput({ stdin, signal }: Pick<CommandContext, 'stdin' | 'signal'>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of addAbortSignal(signal, stdin)) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}
