/** How a vocabulary's token reads: vocabularies write spaces and bytes in ways of their own. Pure. */

/** GPT-2's byte-level vocabularies write byte b as a character: printable ones as themselves, the others from U+0100 on. */
const BYTE_OF: ReadonlyMap<string, number> = new Map(
  Array.from({ length: 256 }, (_, byte) => byte).map((byte) => [characterOf(byte), byte]),
);

/** Text of a token as `/tokenize` names it; what isn't a whole character is '▫'. */
export function tokenText(name: string): string {
  if (/^<0x[0-9A-F]{2}>$/.test(name)) return '▫'; // a byte in vocabularies of SentencePiece
  if (name.includes('▁')) return name.replaceAll('▁', ' ');
  const bytes = Array.from(name, (character) => BYTE_OF.get(character));
  if (bytes.includes(undefined)) return name;
  const text = new TextDecoder().decode(Uint8Array.from(bytes as number[]));
  return text.replace(/\ufffd+/g, '▫');
}

function characterOf(byte: number): string {
  const isPrintable = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  if (isPrintable(byte)) return String.fromCodePoint(byte);
  const numBefore = Array.from({ length: byte }, (_, b) => b).filter((b) => !isPrintable(b)).length;
  return String.fromCodePoint(256 + numBefore);
}
