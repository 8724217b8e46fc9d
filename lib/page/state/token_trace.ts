/** The tokens of a prompt and its continuation, and the experts of each. Pure. */
import type { ExpertPlace } from './expert_map.js';

/** A token. */
export interface TracedToken {
  readonly text: string;
  readonly isPrompt: boolean;
  /** [L][K], the gate's first choice first; null: it was not computed here: from the cache, or the last one of all. */
  readonly experts: readonly (readonly number[])[] | null;
}

/** What one piece of the stream brings. */
export interface TraceNews {
  /** Of its tokens; '' where a token is part of a character. */
  readonly texts: readonly string[];
  /** Text that belongs to the last token of all: it was held back in case it began a stop string. */
  readonly rest: string;
  /** Experts [n][L][K]. */
  readonly rows: readonly (readonly (readonly number[])[])[];
}

const FED_LATER = { isPrompt: false, experts: null };

/** Immutable: tokens and experts come in turn, and experts in the order of the tokens. */
export class TokenTrace {
  private constructor(
    readonly tokens: readonly TracedToken[],
    private readonly numPrompt: number,
    /** The token that the next experts belong to; null: none came yet. */
    private readonly nextRouted: number | null,
  ) {}

  /** A prompt, before anything was computed. */
  static ofPrompt(texts: readonly string[]): TokenTrace {
    const tokens = texts.map((text) => ({ text, isPrompt: true, experts: null }));
    return new TokenTrace(tokens, texts.length, null);
  }

  /**
   * More of the stream came: tokens, and experts of tokens from the last one that had some up to the one before the last. What the first experts leave out of the prompt
   * was cached.
   */
  received({ texts, rest, rows }: TraceNews): TokenTrace {
    const added = [...this.tokens, ...texts.map((text) => ({ text, ...FED_LATER }))];
    const tokens = rest === '' ? added : continued(added, rest);
    if (rows.length === 0) return new TokenTrace(tokens, this.numPrompt, this.nextRouted);
    const from = this.nextRouted ?? Math.max(this.numPrompt + Math.max(texts.length - 1, 0) - rows.length, 0);
    const routed = tokens.map((token, i) => ({ ...token, experts: rows[i - from] ?? token.experts }));
    return new TokenTrace(routed, this.numPrompt, from + rows.length);
  }

  /** How many tokens went to each expert of a layer first, most first. */
  firstChoices(layer: number): readonly { readonly expert: number; readonly numTokens: number }[] {
    const counts = new Map<number, number>();
    for (const token of this.tokens) {
      const first = token.experts?.[layer]?.[0];
      if (first !== undefined) counts.set(first, (counts.get(first) ?? 0) + 1);
    }
    return [...counts]
      .map(([expert, numTokens]) => ({ expert, numTokens }))
      .sort((a, b) => b.numTokens - a.numTokens || a.expert - b.expert);
  }

  /** How many tokens went to an expert, first or not. */
  numTaking(place: ExpertPlace): number {
    return this.tokens.filter((token) => takes(token, place)).length;
  }
}

/** The last token has more text. */
const continued = (tokens: readonly TracedToken[], text: string): readonly TracedToken[] =>
  tokens.map((token, i) => (i < tokens.length - 1 ? token : { ...token, text: token.text + text }));

/** Whether a token went to an expert. */
export const takes = ({ experts }: TracedToken, { layer, expert }: ExpertPlace): boolean =>
  experts?.[layer]?.includes(expert) ?? false;
