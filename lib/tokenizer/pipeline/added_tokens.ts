/**
 * Where a text is cut at added tokens, as Hugging Face's tokenizers library does it: the leftmost token and of those the longest; tokens of whole words only between
 * what is no word; white space at a token's sides that belongs to it. Pure.
 */

import * as z from 'zod';
import { OWN_WORD, trimmedEnd } from '../steps/patterns.js';

/** A token besides those of the model, as tokenizer.json describes it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Only where no letter, digit or the like stands beside it. */
  readonly single_word: boolean;
  /** Takes the white space before it along. */
  readonly lstrip: boolean;
  /** Takes the white space behind it along. */
  readonly rstrip: boolean;
  /** Looked for in the normalised text instead of in the text itself. */
  readonly normalized: boolean;
  /** Part of no text: a beginning, an end, a role. */
  readonly special: boolean;
}

/** Fields of an {@link AddedToken} in JSON, without its id. */
export const addedTokenFields = {
  content: z.string(),
  special: z.boolean().default(false),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  /** Default: where it isn't special. */
  normalized: z.boolean().optional(),
};

/** A token of JSON. */
export const addedToken = (
  id: number,
  fields: Omit<AddedToken, 'id' | 'normalized'> & { readonly normalized?: boolean | undefined },
): AddedToken => ({ ...fields, id, normalized: fields.normalized ?? !fields.special });

/** A special token that is looked for as it stands. */
export const specialToken = (id: number, content: string): AddedToken => ({
  ...{ id, content, special: true, normalized: false },
  ...{ single_word: false, lstrip: false, rstrip: false },
});

/** A piece of a text: an added token, or text between two. */
export type TextPiece = { readonly token: AddedToken } | { readonly token: null; readonly text: string };

/** Cuts texts at a fixed set of tokens, in one pass over each text. */
export class AddedTokenSplitter {
  private readonly root: TrieNode = new Map();

  /** @param contentOf what stands in the text for a token. Default: its content */
  constructor(tokens: readonly AddedToken[], contentOf: (token: AddedToken) => string = ({ content }) => content) {
    for (const token of tokens) {
      const content = contentOf(token);
      if (content === '') continue;
      let node = this.root;
      for (const unit of content.split('')) {
        const next = (node.get(unit) as TrieNode | undefined) ?? (new Map() as TrieNode);
        node.set(unit, next);
        node = next;
      }
      node.set(END, { token, length: content.length });
    }
  }

  /** The pieces of a text, in order; none is empty. */
  split(text: string): TextPiece[] {
    const pieces: TextPiece[] = [];
    let done = 0;
    for (let i = 0; i < text.length;) {
      const match = this.longestAt(text, i);
      if (match === null) {
        i++;
        continue;
      }
      const after = i + match.length;
      if (match.token.single_word && !isApart(text, i, after)) {
        i = after;
        continue;
      }
      const begin = match.token.lstrip ? Math.max(done, trimmedEnd(text.slice(0, i), SPACE).length) : i;
      const end = match.token.rstrip ? after + numLeadingSpaces(text.slice(after)) : after;
      if (begin > done) pieces.push({ token: null, text: text.slice(done, begin) });
      if (end > begin) pieces.push({ token: match.token }); // else one before it took all of it along
      done = end; // before what one before it took along, where that is a token: the reference goes on from there
      i = after; // white space that it took along may be a token still
    }
    if (done < text.length) pieces.push({ token: null, text: text.slice(done) });
    return pieces;
  }

  private longestAt(text: string, start: number): Match | null {
    let best: Match | null = null;
    let node: TrieNode | undefined = this.root;
    for (let i = start; node !== undefined; i++) {
      best = (node.get(END) as Match | undefined) ?? best;
      node = i < text.length ? (node.get(text[i]!) as TrieNode | undefined) : undefined;
    }
    return best;
  }
}

interface Match {
  readonly token: AddedToken;
  readonly length: number;
}

/** By UTF-16 unit; a token that ends here under the empty string. */
type TrieNode = Map<string, unknown>;
const END = '';

const WORD_AT_END = new RegExp(`[${OWN_WORD}]$`, 'u');
const WORD_AT_START = new RegExp(`^[${OWN_WORD}]`, 'u');
const SPACE = /\p{White_Space}/u;

/** A character has two units at most. */
const isApart = (text: string, begin: number, end: number): boolean =>
  !WORD_AT_END.test(text.slice(Math.max(0, begin - 2), begin)) && !WORD_AT_START.test(text.slice(end, end + 2));

function numLeadingSpaces(text: string): number {
  let count = 0;
  while (count < text.length && SPACE.test(text[count]!)) count++;
  return count;
}
