/** The text that two models read: the same tokens for both. */
import { readFile } from 'node:fs/promises';
import { causeText, shown, textOf } from '../../../base/foreign_text.js';
import { piecesOf, prefixOf } from '../../compare/pieces.js';
import type { Piece } from '../../compare/text_pass.js';
import { checkTokens, type OpenedModel } from '../../head/opened_model.js';
import { mostTokensOf } from '../../protocol/limits.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import { UsageError } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { parseIds } from '../engine/prompts.js';
import type { CompareArgs } from './compare_options.js';

type Sides = readonly [OpenedModel, OpenedModel];

/** @throws UsageError for models of different vocabularies or tokenizers, and for a text that can't be read or is too short */
export async function comparedPieces(args: CompareArgs, sides: Sides): Promise<Piece[]> {
  checkVocabularies(sides);
  const most = wholeNumber('--max-tokens', args.maxTokens, 2);
  const asked = wholeNumber('--piece-tokens', args.pieceTokens, 2) ?? Infinity;
  const room = Math.min(asked, ...sides.map(({ limits }) => mostTokensOf(limits)));
  const texts = args.ids === undefined ? await encodedFiles(args.text ?? [], sides) : [bare(parseIds(args.ids))];
  const pieces = texts.flatMap(({ prefix, tokenIds }) => piecesOf(tokenIds.slice(0, most), prefix, room));
  if (pieces.length === 0) throw new UsageError('the text has less than 2 tokens; give more of it');
  for (const piece of pieces) for (const side of sides) checkTokens(piece, 0, side);
  return pieces;
}

interface EncodedText {
  readonly prefix: readonly number[];
  readonly tokenIds: readonly number[];
}

const bare = (tokenIds: readonly number[]): EncodedText => ({ prefix: [], tokenIds });

function checkVocabularies([a, b]: Sides): void {
  const [numA, numB] = [a.spec.vocabSize, b.spec.vocabSize];
  if (numA === numB) return;
  throw new UsageError(`A has a vocabulary of ${numA} tokens, and B one of ${numB}; give two models of the same one`);
}

async function encodedFiles(files: readonly string[], sides: Sides): Promise<EncodedText[]> {
  if (files.length === 0) throw new UsageError('nothing to read: give --text FILE or --ids 5,17,3');
  const tokenizers = sides.map(({ tokenizer }) => tokenizer).filter((each) => each !== undefined);
  const [first, second = first] = tokenizers;
  if (first === undefined) throw new UsageError('neither A nor B has a tokenizer; give --ids 5,17,3');
  const texts: EncodedText[] = [];
  for (const file of files) {
    const text = await contentOf(file);
    const encoded = encodedBy(first, text);
    checkSame(encoded, encodedBy(second!, text), file, [first, second!]);
    texts.push(encoded);
  }
  return texts;
}

async function contentOf(file: string): Promise<string> {
  try {
    return textOf(await readFile(file));
  } catch (cause) {
    throw new UsageError(`--text ${file} can't be read (${causeText(cause)})`);
  }
}

const encodedBy = (tokenizer: Tokenizer, text: string): EncodedText => ({
  prefix: prefixOf(tokenizer),
  tokenIds: tokenizer.encode(text, { addSpecialTokens: false }),
});

/** @throws UsageError that shows where two tokenizers part */
function checkSame(a: EncodedText, b: EncodedText, file: string, tokenizers: readonly [Tokenizer, Tokenizer]): void {
  const [own, other] = [a, b].map(({ prefix, tokenIds }) => [...prefix, ...tokenIds]);
  const at = Array.from({ length: Math.max(own!.length, other!.length) }).findIndex((_, i) => own![i] !== other![i]);
  if (at < 0) return;
  const [ofA, ofB] = [own!, other!].map((ids, i) =>
    ids[at] === undefined ? 'none' : `${ids[at]} (${shown(tokenizers[i]!.decode([ids[at]]))})`,
  );
  throw new UsageError(
    `the tokenizers of A and B make different tokens of ${file}: number ${at} is ${ofA!} for A and ${ofB!} for B; give two models of one tokenizer, or --ids`,
  );
}
