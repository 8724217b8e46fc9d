/** SentencePiece's compiled normaliser (`precompiled_charsmap`): a double array over UTF-8 bytes, and the texts in place of what it finds. */
import { lengthOfCharacter, textOfBytes } from './byte_level.js';

/** Longer graphemes are looked at character by character. */
const MAX_GRAPHEME_BYTES = 5;

/**
 * A normaliser of a compiled table, with the reference library's habits: a grapheme of at most 5 bytes is replaced as a whole where the table has any beginning of it.
 *
 * @throws RangeError where the bytes are no such table
 */
export function charsmapNormalizer(table: Uint8Array): (text: string) => string {
  const charsmap = new Charsmap(table);
  const ofCharacters = new Map<string, string>();
  const ofCharacter = (character: string): string => {
    let replaced = ofCharacters.get(character);
    if (replaced === undefined) {
      replaced = charsmap.replacementOf(character) ?? character;
      ofCharacters.set(character, replaced);
    }
    return replaced;
  };
  const ofGrapheme = (grapheme: string): string => {
    const whole = Buffer.byteLength(grapheme) <= MAX_GRAPHEME_BYTES ? charsmap.replacementOf(grapheme) : undefined;
    return whole ?? Array.from(grapheme, ofCharacter).join('');
  };
  const graphemes = new Graphemes();
  return (text) => {
    let normalized = '';
    for (let i = 0; i < text.length;) {
      const end = endOfLoneAscii(text, i);
      for (; i < end; i++) normalized += ofCharacter(text[i]!);
      if (i === text.length) break;
      for (const grapheme of graphemes.at(text, i)) {
        normalized += ofGrapheme(grapheme);
        i += grapheme.length;
      }
    }
    return normalized;
  };
}

/**
 * A normaliser of a compiled table as SentencePiece itself does it: what is longest is replaced.
 *
 * @throws RangeError where the bytes are no such table
 */
export function longestReplacements(table: Uint8Array): (text: string) => string {
  const charsmap = new Charsmap(table);
  return (text) => {
    const bytes = Buffer.from(text, 'utf8');
    const pieces: Uint8Array[] = [];
    let kept = 0;
    for (let i = 0; i < bytes.length;) {
      const found = charsmap.longestAt(bytes, i);
      if (found !== undefined) {
        pieces.push(bytes.subarray(kept, i), Buffer.from(found.text, 'utf8'));
        kept = i + found.length;
      }
      i += found?.length ?? lengthOfCharacter(bytes[i]!);
    }
    return textOfBytes(Buffer.concat([...pieces, bytes.subarray(kept)]));
  };
}

/** Where ASCII ends that is a grapheme each: nothing else behind it, and no \r\n. */
function endOfLoneAscii(text: string, start: number): number {
  let i = start;
  while (i < text.length && text.charCodeAt(i) < 0x80 && !(text[i] === '\r' && text[i + 1] === '\n')) i++;
  return i < text.length && i > start && text.charCodeAt(i) >= 0x80 ? i - 1 : i;
}

/** Graphemes of a long text. The segmenter takes as long for each as the text is long, so that it gets a short one. */
class Graphemes {
  private readonly segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });

  /** Some graphemes that begin at a place where one does. */
  at(text: string, start: number, length = 64): readonly string[] {
    const window = text.slice(start, start + length);
    const graphemes = Array.from(this.segmenter.segment(window), ({ segment }) => segment);
    if (start + length >= text.length) return graphemes;
    return graphemes.length > 1 ? graphemes.slice(0, -1) : this.at(text, start, 2 * length); // the last may go on
  }
}

class Charsmap {
  private readonly units: Uint32Array;
  private readonly texts: Uint8Array;

  constructor(table: Uint8Array) {
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const numUnits = view.getUint32(0, true) / 4;
    this.units = Uint32Array.from({ length: numUnits }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.texts = table.subarray(4 + 4 * numUnits);
  }

  /** What stands for the shortest beginning of a text that the table has; undefined where it has none. */
  replacementOf(text: string): string | undefined {
    const found = this.prefixesOf(Buffer.from(text, 'utf8'), 0).next();
    return found.done === true ? undefined : this.textAt(found.value.text);
  }

  /** What stands for the longest beginning of the bytes from a place on, and how long that is. */
  longestAt(bytes: Uint8Array, start: number): { readonly text: string; readonly length: number } | undefined {
    const longest = [...this.prefixesOf(bytes, start)].at(-1);
    return longest && { text: this.textAt(longest.text), length: longest.length };
  }

  /** The beginnings that the table has, and where their texts are. */
  private *prefixesOf(bytes: Uint8Array, start: number): Generator<{ readonly length: number; readonly text: number }> {
    let unit = this.units[0]!;
    let position = offsetOf(unit);
    for (let i = start; i < bytes.length && bytes[i] !== 0; i++) {
      const byte = bytes[i]!;
      position ^= byte;
      unit = this.units[position] ?? 0;
      if ((unit & 0x800000ff) !== byte) return;
      position ^= offsetOf(unit);
      if ((unit & 0x100) !== 0) yield { length: i + 1 - start, text: (this.units[position] ?? 0) & 0x7fffffff };
    }
  }

  private textAt(start: number): string {
    const end = this.texts.indexOf(0, start);
    return textOfBytes(this.texts.subarray(start, end < 0 ? this.texts.length : end));
  }
}

const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
