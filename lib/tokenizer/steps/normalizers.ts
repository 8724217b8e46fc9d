/** How tokenizer.json changes a text before it is cut into words; as Hugging Face's tokenizers library does it. */
import * as z from 'zod';
import { spellBytes } from './byte_level.js';
import { charsmapNormalizer } from './charsmap.js';
import { patternSchema, trimmedEnd } from './patterns.js';

/** Changes a text. @param isFirst whether it is the beginning of the whole one */
export type Normalizer = (text: string, isFirst: boolean) => string;
/** One that makes no difference of it. */
type PlainNormalizer = (text: string) => string;

const WHITE_SPACE = '\\p{White_Space}';
const AT_START = new RegExp(`^${WHITE_SPACE}+`, 'u');
const ONE_SPACE = new RegExp(WHITE_SPACE, 'u');

/** Character by character: a sigma at a word's end is like any other. */
const lowercase: PlainNormalizer = (text) => text.replaceAll('Σ', 'σ').toLowerCase();

const sequence =
  (steps: readonly Normalizer[]): Normalizer =>
  (text, isFirst) =>
    steps.reduce((changed, step) => step(changed, isFirst), text);

const strip = (left: boolean, right: boolean): Normalizer =>
  sequence([
    ...(left ? [(text: string) => text.replace(AT_START, '')] : []),
    ...(right ? [(text: string) => trimmedEnd(text, ONE_SPACE)] : []),
  ]);

/** Control characters go, and other white space than line ends becomes a space. */
const cleanNmt: PlainNormalizer = (text) =>
  text
    // eslint-disable-next-line no-control-regex -- they are what goes
    .replace(/[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/g, '')
    .replace(/[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, ' ');

/** Chinese characters as BERT counts them: blocks of ideographs, and no kana or hangul. */
const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

/** What cleaning takes away: controls, formats and private characters but for tab and line ends, and U+FFFD. */
const UNCLEAN = /[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu;
const ANY_SPACE = new RegExp(WHITE_SPACE, 'gu');

interface BertOptions {
  readonly clean_text: boolean;
  readonly handle_chinese_chars: boolean;
  readonly strip_accents?: boolean | null | undefined;
  readonly lowercase: boolean;
}

const bert = (options: BertOptions): Normalizer =>
  sequence([
    ...(options.clean_text ? [(text: string) => text.replace(UNCLEAN, '').replace(ANY_SPACE, ' ')] : []),
    ...(options.handle_chinese_chars ? [(text: string) => text.replace(CHINESE, ' $& ')] : []),
    ...((options.strip_accents ?? options.lowercase)
      ? [(text: string) => text.normalize('NFD').replace(/\p{Mn}/gu, '')]
      : []),
    ...(options.lowercase ? [lowercase] : []),
  ]);

const charsmap = (base64: string, context: z.RefinementCtx): Normalizer => {
  try {
    return charsmapNormalizer(Buffer.from(base64, 'base64'));
  } catch {
    context.addIssue({ code: 'custom', message: 'the compiled table is cut off' });
    return z.NEVER;
  }
};

const form = (name: 'NFC' | 'NFD' | 'NFKC' | 'NFKD') =>
  z.object({ type: z.literal(name) }).transform((): Normalizer => (text) => text.normalize(name));

/** `normalizer` of tokenizer.json as a function. */
export const normalizerSchema: z.ZodType<Normalizer> = z.lazy(() =>
  z.discriminatedUnion('type', [
    form('NFC'),
    form('NFD'),
    form('NFKC'),
    form('NFKD'),
    z
      .object({ type: z.literal('Sequence'), normalizers: z.array(normalizerSchema) })
      .transform(({ normalizers }) => sequence(normalizers)),
    z.object({ type: z.literal('Lowercase') }).transform(() => lowercase),
    z.object({ type: z.literal('Prepend'), prepend: z.string() }).transform(
      ({ prepend }): Normalizer =>
        (text) =>
          text === '' ? '' : prepend + text,
    ),
    z.object({ type: z.literal('Replace'), pattern: patternSchema, content: z.string() }).transform(
      ({ pattern, content }): Normalizer =>
        (text) =>
          text.replace(pattern, () => content),
    ),
    z
      .object({ type: z.literal('Strip'), strip_left: z.boolean(), strip_right: z.boolean() })
      .transform((json) => strip(json.strip_left, json.strip_right)),
    z.object({ type: z.literal('StripAccents') }).transform((): Normalizer => (text) => text.replace(/\p{M}/gu, '')),
    z.object({ type: z.literal('Nmt') }).transform(() => cleanNmt),
    z.object({ type: z.literal('ByteLevel') }).transform((): Normalizer => spellBytes),
    z
      .object({
        type: z.literal('BertNormalizer'),
        clean_text: z.boolean().default(true),
        handle_chinese_chars: z.boolean().default(true),
        strip_accents: z.boolean().nullish(),
        lowercase: z.boolean().default(true),
      })
      .transform(bert),
    z
      .object({ type: z.literal('Precompiled'), precompiled_charsmap: z.string() })
      .transform(({ precompiled_charsmap: base64 }, context) => charsmap(base64, context)),
  ]),
);
