/** SentencePiece's models (sentencepiece_model.proto): pieces with scores, how texts are normalised, and which algorithm finds the pieces. */
import { fieldsOf, type Field } from './protobuf.js';

/** What a piece is for, by its number in the file. */
const PIECE_KINDS = ['none', 'normal', 'unknown', 'control', 'user_defined', 'unused', 'byte'] as const;
/** One of {@link PIECE_KINDS}. */
export type PieceKind = (typeof PIECE_KINDS)[number];

/** A piece; its id is its place in the file. */
export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly kind: PieceKind;
}

/** What a model file says, with the defaults of its format. */
export interface SentencePieceFile {
  readonly pieces: readonly Piece[];
  /** 1 Unigram, 2 BPE, 3 words, 4 characters. */
  readonly modelType: number;
  readonly isByteFallback: boolean;
  /** Marks for spaces stand behind words. */
  readonly isSuffixed: boolean;
  /** Ids of the beginning and the end of a text; no piece's id where there is none. */
  readonly bosId: number;
  readonly eosId: number;
  /** Empty: texts stay as they are. */
  readonly charsmap: Uint8Array;
  /** A mark for a space in front of each text. */
  readonly hasPrefix: boolean;
  /** Spaces at both ends go, and several in a row are one. */
  readonly removesSpaces: boolean;
  /** Spaces become marks. */
  readonly escapesSpaces: boolean;
}

/** @throws SyntaxError where the bytes are no such file */
export function parseSentencePiece(bytes: Uint8Array): SentencePieceFile {
  const fields = [...fieldsOf(bytes)];
  const pieces = fields.filter(({ number }) => number === 1).map((field) => pieceOf(bytesOf(field)));
  if (pieces.length === 0) throw new SyntaxError('there are no pieces');
  const trainer = fieldsOfMessage(fields, 2);
  const normalizer = fieldsOfMessage(fields, 3);
  return {
    pieces,
    modelType: numberOf(trainer, 3) ?? 1,
    bosId: numberOf(trainer, 41) ?? 1,
    eosId: numberOf(trainer, 42) ?? 2,
    isByteFallback: numberOf(trainer, 35) === 1,
    isSuffixed: numberOf(trainer, 24) === 1,
    charsmap: lastOf(normalizer, 2, bytesOf) ?? new Uint8Array(0),
    hasPrefix: numberOf(normalizer, 3) !== 0,
    removesSpaces: numberOf(normalizer, 4) !== 0,
    escapesSpaces: numberOf(normalizer, 5) !== 0,
  };
}

function pieceOf(message: Uint8Array): Piece {
  const fields = [...fieldsOf(message)];
  const text = lastOf(fields, 1, bytesOf) ?? new Uint8Array(0);
  const score = fields.findLast(({ number, kind }) => number === 2 && kind === 'fixed');
  return {
    text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(text),
    score: score === undefined ? 0 : Buffer.from(bytesOf(score)).readFloatLE(0),
    kind: PIECE_KINDS[numberOf(fields, 3) ?? 1] ?? 'none',
  };
}

function bytesOf(field: Field): Uint8Array {
  if (field.kind === 'varint') throw new SyntaxError(`field ${field.number} is a number`);
  return field.bytes;
}

const fieldsOfMessage = (fields: readonly Field[], number: number): readonly Field[] => [
  ...fieldsOf(lastOf(fields, number, bytesOf) ?? new Uint8Array(0)),
];

function lastOf<T>(fields: readonly Field[], number: number, valueOf: (field: Field) => T): T | undefined {
  const field = fields.findLast((each) => each.number === number);
  return field === undefined ? undefined : valueOf(field);
}

const numberOf = (fields: readonly Field[], number: number): number | undefined =>
  lastOf(fields, number, (field) => {
    if (field.kind !== 'varint') throw new SyntaxError(`field ${number} is no number`);
    return field.value;
  });
