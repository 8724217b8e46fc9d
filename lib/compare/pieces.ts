/** A text in pieces that a model takes, each by itself. Pure. */
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** Of at most `room` tokens, `prefix` before each included; a piece of a single token, of which nothing can be said, is left out. */
export function piecesOf(tokenIds: readonly number[], prefix: readonly number[], room: number): number[][] {
  const length = Math.max(1, room - prefix.length);
  const numPieces = Math.ceil(tokenIds.length / length);
  const pieces = Array.from({ length: numPieces }, (_, i) => [
    ...prefix,
    ...tokenIds.slice(i * length, (i + 1) * length),
  ]);
  return pieces.filter((piece) => piece.length >= 2);
}

/** What comes before the tokens of any text: the token for a beginning, where the model is used to one. */
export function prefixOf(tokenizer: Tokenizer): readonly number[] {
  const [whole, bare] = [tokenizer.encode('a'), tokenizer.encode('a', { addSpecialTokens: false })];
  const at = whole.findIndex((id, i) => id === bare[0] && bare.every((each, j) => whole[i + j] === each));
  return whole.slice(0, Math.max(0, at));
}
