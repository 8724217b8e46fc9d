/** SentencePiece's models as tokenizers, by the algorithms of the library itself. */
import { specialToken } from '../pipeline/added_tokens.js';
import { Bpe } from '../models/bpe.js';
import { SpelledMerges } from '../models/merges.js';
import { ByteTokens, type TokenModel } from '../models/token_model.js';
import { Unigram } from '../models/unigram.js';
import type { PipelineParts } from '../pipeline/pipeline.js';
import { longestReplacements } from '../steps/charsmap.js';
import { decoderSchema } from '../steps/decoders.js';
import type { Normalizer } from '../steps/normalizers.js';
import { literalPattern, trimmedEnd } from '../steps/patterns.js';
import { splitStep, type CutStep } from '../steps/pre_tokenizers.js';
import { parseSentencePiece, type Piece, type PieceKind, type SentencePieceFile } from './sentencepiece_file.js';

const MARK = '▁';
const UNIGRAM = 1;
const BPE = 2;

/** What only the caller knows. */
export interface SentencePieceOptions {
  /** A mark in front of every text between special tokens, not of a text's beginning alone. */
  readonly isLegacy: boolean;
}

/** A tokenizer, and what its file calls the beginning and the end of a text. */
export interface SentencePieceTokenizer {
  readonly parts: PipelineParts;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
}

/**
 * The tokenizer of a model file.
 *
 * @throws SyntaxError where the bytes are no such file; RangeError where it holds what isn't supported
 */
export function readSentencePiece(bytes: Uint8Array, options: SentencePieceOptions): SentencePieceTokenizer {
  const file = parseSentencePiece(bytes);
  if (file.modelType !== UNIGRAM && file.modelType !== BPE)
    throw new RangeError('it finds words or characters, no pieces');
  if (file.isSuffixed || !file.escapesSpaces) throw new RangeError('marks for spaces stand behind words, or nowhere');
  const parts: PipelineParts = {
    added_tokens: file.pieces.flatMap(({ text, kind }, id) =>
      kind === 'control' || kind === 'unknown' ? [specialToken(id, text)] : [],
    ),
    normalizer: normalizerOf(file, options),
    pre_tokenizer: stepsOf(file),
    post_processor: null,
    decoder: decoderOf(file),
    model: file.modelType === BPE ? bpeOf(file) : unigramOf(file),
  };
  return { parts, bosToken: file.pieces[file.bosId]?.text, eosToken: file.pieces[file.eosId]?.text };
}

/** Spaces that are too many go, the others become marks, and one stands in front. */
function normalizerOf(file: SentencePieceFile, { isLegacy }: SentencePieceOptions): Normalizer {
  const { charsmap, removesSpaces, hasPrefix } = file;
  const replaced = charsmap.length === 0 ? (text: string): string => text : longestReplacements(charsmap);
  return (text, isFirst) => {
    const plain = replaced(text);
    const kept = removesSpaces ? trimmedEnd(plain, /[ ▁]/).replace(/^ +/, '').replace(/ {2,}/g, ' ') : plain;
    const prefix = hasPrefix && kept !== '' && (isLegacy || isFirst) ? MARK : '';
    return prefix + kept.replaceAll(' ', MARK);
  };
}

/** Pieces that are never parts of others. */
function stepsOf({ pieces }: SentencePieceFile): CutStep[] {
  const whole = pieces.filter(({ kind, text }) => kind === 'user_defined' && text !== '').map(({ text }) => text);
  const longestFirst = whole.sort((a, b) => b.length - a.length).map(literalPattern);
  return whole.length > 0 ? [splitStep(new RegExp(longestFirst.join('|'), 'gu'), 'Isolated')] : [];
}

/** More spaces than a text has. */
const ALL = 2 ** 31;

const decoderOf = ({ hasPrefix, removesSpaces }: SentencePieceFile): PipelineParts['decoder'] =>
  decoderSchema.parse({
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: MARK }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      ...(removesSpaces ? [{ type: 'Strip', content: ' ', start: ALL, stop: 0 }] : []),
      ...(hasPrefix && !removesSpaces ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
    ],
  });

/** Pieces that stand for parts of a text. */
const IN_TEXTS: ReadonlySet<PieceKind> = new Set(['normal', 'user_defined', 'unused']);

interface Vocabulary {
  readonly tokens: readonly (readonly [text: string, id: number])[];
  /** Those that stand for parts of a text. */
  readonly inTexts: ReadonlyMap<string, number>;
  readonly unkId: number | undefined;
  readonly bytes: ByteTokens | null;
}

function vocabularyOf({ pieces, isByteFallback }: SentencePieceFile): Vocabulary {
  const idsWhere = (isMeant: (piece: Piece) => boolean): Map<string, number> =>
    new Map(pieces.flatMap((piece, id) => (isMeant(piece) ? [[piece.text, id]] : [])));
  const unkId = pieces.findIndex(({ kind }) => kind === 'unknown');
  return {
    tokens: pieces.map(({ text }, id) => [text, id]),
    inTexts: idsWhere(({ kind }) => IN_TEXTS.has(kind)),
    unkId: unkId < 0 ? undefined : unkId,
    bytes: isByteFallback ? new ByteTokens(idsWhere(({ kind }) => kind === 'byte')) : null,
  };
}

function bpeOf(file: SentencePieceFile): TokenModel {
  const { tokens, inTexts, unkId, bytes } = vocabularyOf(file);
  const scoreOf = (id: number): number => file.pieces[id]!.score;
  const order = [...inTexts.values()].sort((a, b) => scoreOf(b) - scoreOf(a) || a - b);
  const wholeWords = new Set(file.pieces.filter(({ kind }) => kind === 'user_defined').map(({ text }) => text));
  return new Bpe(inTexts, new SpelledMerges(inTexts, order), { tokens, unkId, fuseUnk: true, bytes, wholeWords });
}

function unigramOf(file: SentencePieceFile): TokenModel {
  const { tokens, inTexts, unkId, bytes } = vocabularyOf(file);
  return new Unigram(
    Array.from(inTexts, ([text, id]) => ({ text, id, score: file.pieces[id]!.score })),
    { tokens, unkId, bytes, isSingle: true },
  );
}
