/** The bytes that a token stands for, also where they are no whole character: what its text can't say. */
import { spelledBytes } from './steps/byte_level.js';
import { BYTE_TOKEN, type ByteSpelling } from './steps/decoders.js';

/** The bytes of a token as the vocabulary spells it. */
export function bytesOfToken(token: string, spelling: ByteSpelling | null): Uint8Array {
  if (spelling === 'byte_level') return Uint8Array.from(spelledBytes([token]));
  const single = spelling === 'byte_fallback' ? BYTE_TOKEN.exec(token)?.[1] : undefined;
  if (single !== undefined) return Uint8Array.of(parseInt(single, 16));
  return new TextEncoder().encode(spelling === 'byte_fallback' ? token.replaceAll('▁', ' ') : token);
}
