/** Hugging Face's Rust library, in a Python that has it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text as textOf } from 'node:stream/consumers';
import * as z from 'zod';
import { causeText, printable } from '../../base/foreign_text.js';
import { peerScript } from '../../lib/config/package_files.js';
import { BenchError } from '../base/errors.js';

/** What it shall do. */
export interface RustTask {
  readonly python: string;
  /** tokenizer.json. */
  readonly file: string;
  readonly texts: readonly string[];
  readonly repeats: number;
  readonly signal: AbortSignal;
}

const answerSchema = z.object({
  version: z.string(),
  encode: z.array(z.number()),
  decode: z.array(z.number()),
  num_tokens: z.int(),
});

/** Seconds of each repeat. It would use several threads for a list of texts; here it gets one after the other. @throws BenchError PROCESS_DIED */
export async function rustSeconds({ python, file, texts, repeats, signal }: RustTask): Promise<{
  readonly version: string;
  readonly encode: readonly number[];
  readonly decode: readonly number[];
  readonly numTokens: number;
}> {
  const child = spawn(python, [peerScript('tokenizers_peer.py')], { signal });
  const failed = (why: string): BenchError =>
    new BenchError('PROCESS_DIED', `${python}: ${why}; name a Python that has the package tokenizers: --python PYTHON`);
  try {
    child.stdin.on('error', () => undefined); // told by how it ends
    child.stdin.end(JSON.stringify({ file, texts, repeats }));
    const [answer, errors, [code]] = await Promise.all([
      textOf(child.stdout),
      textOf(child.stderr),
      once(child, 'close') as Promise<[number | null]>,
    ]);
    if (code !== 0) throw failed(printable(errors.trimEnd().split('\n').at(-1) ?? 'it ended'));
    const { num_tokens: numTokens, ...seconds } = answerSchema.parse(JSON.parse(answer));
    return { ...seconds, numTokens };
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof BenchError ? cause : failed(causeText(cause));
  }
}
