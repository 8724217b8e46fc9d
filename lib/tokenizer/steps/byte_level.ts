/** GPT-2's alphabet: a printable character for each byte, in which vocabularies over bytes are spelled. */

/** Characters by byte. */
export const CHARACTER_OF_BYTE: readonly string[] = byteAlphabet();

/** Bytes by the character's code; -1: it isn't of this alphabet. */
const BYTE_OF_CODE = bytesByCode();

/** A text's UTF-8 bytes in this alphabet. */
export const spellBytes = (text: string): string =>
  /^[!-~]*$/.test(text) ? text : spelledText(Buffer.from(text, 'utf8')); // the first stand for themselves

/** Bytes in this alphabet. */
export function spelledText(bytes: Uint8Array): string {
  let spelled = '';
  for (const byte of bytes) spelled += CHARACTER_OF_BYTE[byte]!;
  return spelled;
}

/** The bytes that texts spell, one after the other: those in this alphabet their bytes there, others their own in UTF-8. */
export function spelledBytes(texts: readonly string[]): Uint8Array {
  let capacity = 0;
  for (const { length } of texts) capacity += 3 * length; // UTF-8 has three bytes for a unit at most
  const bytes = Buffer.allocUnsafe(capacity);
  let end = 0;
  for (const text of texts) {
    const spelled = spellInto(bytes, end, text);
    end += spelled ?? bytes.write(text, end, 'utf8');
  }
  return bytes.subarray(0, end);
}

/** How many bytes were written; undefined where a character isn't of the alphabet. */
function spellInto(bytes: Uint8Array, start: number, text: string): number | undefined {
  for (let i = 0; i < text.length; i++) {
    const byte = BYTE_OF_CODE[text.charCodeAt(i)] ?? -1;
    if (byte < 0) return undefined;
    bytes[start + i] = byte;
  }
  return text.length;
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

function bytesByCode(): Int16Array {
  const bytes = new Int16Array(0x200).fill(-1);
  for (const [byte, character] of CHARACTER_OF_BYTE.entries()) bytes[character.charCodeAt(0)] = byte;
  return bytes;
}
