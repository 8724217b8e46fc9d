/** GPT-2's alphabet: a printable character for each byte, in which vocabularies over bytes are spelled. */

/** Characters by byte. */
export const CHARACTER_OF_BYTE: readonly string[] = byteAlphabet();

/** Bytes by character. */
export const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(
  CHARACTER_OF_BYTE.map((character, byte) => [character, byte]),
);

/** A text's UTF-8 bytes in this alphabet. */
export const spellBytes = (text: string): string =>
  /^[!-~]*$/.test(text) ? text : spelledText(Buffer.from(text, 'utf8')); // the first stand for themselves

/** Bytes in this alphabet. */
export function spelledText(bytes: Uint8Array): string {
  let spelled = '';
  for (const byte of bytes) spelled += CHARACTER_OF_BYTE[byte]!;
  return spelled;
}

/** The bytes that a text in this alphabet spells; undefined where a character isn't of it. */
export function spelledBytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = BYTE_OF_CHARACTER.get(text[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

/** Bytes as text; what isn't UTF-8 becomes U+FFFD, and a byte order mark stays. */
export const textOfBytes = (bytes: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);

/** How many bytes of UTF-8 a character has, by its first one. */
export const lengthOfCharacter = (byte: number): number => (byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4);

/** Printable bytes stand for themselves, the others for characters from U+0100 on. */
function byteAlphabet(): string[] {
  const isPrintable = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  let numOthers = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : 0x100 + numOthers++));
}
