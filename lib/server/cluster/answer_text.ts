/** What another instance answers, whatever it is: as much of it as may be held. */
import { jsonOrUndefined, printable } from '../../../base/foreign_text.js';

/** The whole answer. Throws where it is longer, or breaks off. */
export async function boundedText({ body }: Pick<Response, 'body'>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let numBytes = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    numBytes += chunk.length;
    if (numBytes > maxBytes) throw new Error(`its answer has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What an error's body says; it comes from elsewhere. */
export function messageIn(text: string): string {
  const { error } = (jsonOrUndefined(text) ?? {}) as { readonly error?: { readonly message?: unknown } };
  return printable(typeof error?.message === 'string' ? error.message : text);
}
