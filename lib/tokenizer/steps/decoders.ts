/** How tokens become text by tokenizer.json; as Hugging Face's tokenizers library does it. */
import { isUtf8 } from 'node:buffer';
import * as z from 'zod';
import { lengthOfCharacter, spelledBytes, textOfBytes } from './byte_level.js';
import { patternSchema } from './patterns.js';

/** How a vocabulary spells bytes. */
export type ByteSpelling =
  | 'byte_level' // a character for each byte (GPT-2)
  | 'byte_fallback'; // <0x0A> for single bytes, ▁ for a space (SentencePiece)

/** What makes text of tokens. */
export interface Decoder {
  /** Tokens in, pieces of text out; the text is what they are when put together. */
  readonly decode: Decode;
  /** Null: in another way than these, or not at all. */
  readonly spelling: ByteSpelling | null;
}

type Decode = (tokens: readonly string[]) => readonly string[];

const plain = (decode: Decode): Decoder => ({ decode, spelling: null });

const sequence = (steps: readonly Decoder[]): Decoder => ({
  decode: (tokens) => steps.reduce((pieces, step) => step.decode(pieces), tokens),
  spelling: steps.find(({ spelling }) => spelling !== null)?.spelling ?? null,
});

const byteLevel: Decode = (tokens) => [textOfBytes(spelledBytes(tokens))];

/** A single byte by its number. */
export const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/**
 * Bytes in a row are characters together, or a U+FFFD each where they are none.
 * Why: docs/decisions/tokenizers.md#broken-bytes-leave-characters-before-them-as-they-are
 */
const byteFallback: Decode = (tokens) => {
  const pieces: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length > 0) pieces.push(textOf(Uint8Array.from(bytes)));
    bytes = [];
  };
  for (const token of tokens) {
    const byte = BYTE_TOKEN.exec(token)?.[1];
    if (byte !== undefined) bytes.push(parseInt(byte, 16));
    else {
      flush();
      pieces.push(token);
    }
  }
  flush();
  return pieces;
};

function textOf(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return textOfBytes(bytes);
  let text = '';
  for (let i = 0; i < bytes.length;) {
    const character = bytes.subarray(i, i + lengthOfCharacter(bytes[i]!));
    const isWhole = isUtf8(character);
    text += isWhole ? textOfBytes(character) : '\ufffd';
    i += isWhole ? character.length : 1;
  }
  return text;
}

/** The first token's marks go, unless no mark was put in front. */
const metaspace =
  (mark: string, isPrefixed: boolean): Decode =>
  (tokens) =>
    tokens.map((token, i) => token.replaceAll(mark, i === 0 && isPrefixed ? '' : ' '));

/** English as it is written, where words were cut. */
const cleanedUp = (text: string): string =>
  CLEAN_UPS.reduce((cleaned, [apart, together]) => cleaned.replaceAll(apart, together), text);

const CLEAN_UPS = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
] as const;

const wordPiece =
  (prefix: string, isCleaned: boolean): Decode =>
  (tokens) =>
    tokens
      .map((token, i) => (i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`))
      .map((piece) => (isCleaned ? cleanedUp(piece) : piece));

/** A space at the end of each word but the last. */
const suffixed =
  (suffix: string): Decode =>
  (tokens) =>
    tokens.map((token, i) => (suffix === '' ? token : token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' ')));

/** At most so many of a character from either end of each piece. */
const strip =
  (content: string, start: number, stop: number): Decode =>
  (tokens) =>
    tokens.map((token) => {
      const characters = Array.from(token);
      let first = 0;
      while (first < start && characters[first] === content) first++;
      let last = characters.length;
      while (characters.length - last < stop && last > first && characters[last - 1] === content) last--;
      return characters.slice(first, last).join('');
    });

/** `decoder` of tokenizer.json as a function. */
export const decoderSchema: z.ZodType<Decoder> = z.lazy(() =>
  z.discriminatedUnion('type', [
    z
      .object({ type: z.literal('Sequence'), decoders: z.array(decoderSchema) })
      .transform(({ decoders }) => sequence(decoders)),
    z
      .object({ type: z.literal('ByteLevel') })
      .transform((): Decoder => ({ decode: byteLevel, spelling: 'byte_level' })),
    z
      .object({ type: z.literal('ByteFallback') })
      .transform((): Decoder => ({ decode: byteFallback, spelling: 'byte_fallback' })),
    z.object({ type: z.literal('Fuse') }).transform(() => plain((tokens) => [tokens.join('')])),
    z
      .object({ type: z.literal('Replace'), pattern: patternSchema, content: z.string() })
      .transform(({ pattern, content }) =>
        plain((tokens) => tokens.map((token) => token.replace(pattern, () => content))),
      ),
    z
      .object({ type: z.literal('Strip'), content: z.string(), start: z.int().min(0), stop: z.int().min(0) })
      .transform(({ content, start, stop }) => plain(strip(content, start, stop))),
    z
      .object({
        type: z.literal('Metaspace'),
        replacement: z.string().default('▁'),
        prepend_scheme: z.enum(['always', 'first', 'never']).optional(),
        add_prefix_space: z.boolean().default(true),
      })
      .transform((json) =>
        plain(
          metaspace(
            json.replacement,
            json.prepend_scheme === undefined ? json.add_prefix_space : json.prepend_scheme !== 'never',
          ),
        ),
      ),
    z
      .object({ type: z.literal('WordPiece'), prefix: z.string().default('##'), cleanup: z.boolean().default(true) })
      .transform(({ prefix, cleanup }) => plain(wordPiece(prefix, cleanup))),
    z
      .object({ type: z.literal('BPEDecoder'), suffix: z.string().default('</w>') })
      .transform(({ suffix }) => plain(suffixed(suffix))),
  ]),
);
