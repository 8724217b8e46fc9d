/** The bytes that a token stands for, also where they are no whole character: what its text can't say. */

/** How a vocabulary spells bytes. */
export type ByteSpelling =
  | 'byte_level' // a character for each byte (GPT-2)
  | 'byte_fallback'; // <0x0A> for single bytes, ▁ for a space (SentencePiece)

/** What tokenizer.json says of how tokens become text. */
interface DecoderJson {
  readonly type?: unknown;
  readonly decoders?: unknown;
}

/** How the vocabulary of a tokenizer.json spells bytes; null: in another way than these, or not at all. */
export function byteSpellingOf(decoder: unknown): ByteSpelling | null {
  if (typeof decoder !== 'object' || decoder === null) return null;
  const { type, decoders } = decoder as DecoderJson;
  if (type === 'ByteLevel') return 'byte_level';
  if (type === 'ByteFallback') return 'byte_fallback';
  return Array.isArray(decoders) ? (decoders.map(byteSpellingOf).find((each) => each !== null) ?? null) : null;
}

/** The bytes of a token as the vocabulary spells it. */
export function bytesOfToken(token: string, spelling: ByteSpelling | null): Uint8Array {
  if (spelling === 'byte_level') {
    const bytes = Array.from(token, (character) => BYTE_OF.get(character));
    if (bytes.every((byte) => byte !== undefined)) return Uint8Array.from(bytes);
  }
  const single = spelling === 'byte_fallback' ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1] : undefined;
  if (single !== undefined) return Uint8Array.of(parseInt(single, 16));
  return new TextEncoder().encode(spelling === 'byte_fallback' ? token.replaceAll('▁', ' ') : token);
}

/** The byte of each character, as GPT-2 spells them: printable bytes stand for themselves, the others for characters from U+0100 on. */
export function byteLevelAlphabet(): ReadonlyMap<string, number> {
  const isPrintable = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  const byteOf = new Map<string, number>();
  let numOthers = 0;
  for (let byte = 0; byte < 256; byte++) {
    byteOf.set(String.fromCharCode(isPrintable(byte) ? byte : 0x100 + numOthers++), byte);
  }
  return byteOf;
}

const BYTE_OF = byteLevelAlphabet();
