/** The tokens of an answer and the experts of each. Pure. */

/** What a piece of an answer tells of its tokens. */
export interface RoutedPiece {
  /** Of its tokens; '' where a token is part of a character. Together the text of the piece. */
  readonly texts: readonly string[];
  /** [n][MoE layers][K] of the tokens that were fed to the model since the last piece: first those of the prompt that were computed, at last not the last token. */
  readonly rows: readonly (readonly (readonly number[])[])[];
}

/** A token of an answer. */
export interface TracedToken {
  readonly text: string;
  /** [MoE layers][K], the gate's first choice first; null: it was never fed to the model, as the last one. */
  readonly experts: readonly (readonly number[])[] | null;
}

/** Gathers them. */
export class AnswerTrace {
  private readonly texts: string[] = [];
  private readonly rows: (readonly (readonly number[])[])[] = [];
  private isBegun = false;

  /** More came. */
  add({ texts, rows }: RoutedPiece): void {
    this.texts.push(...texts);
    if (rows.length === 0) return;
    // The first rows are of the prompt, as many as weren't cached; the last token of the piece has none yet.
    const own = this.isBegun ? rows : rows.slice(Math.max(0, rows.length - (this.texts.length - 1)));
    this.isBegun = true;
    this.rows.push(...own);
  }

  get tokens(): readonly TracedToken[] {
    return this.texts.map((text, i) => ({ text, experts: this.rows[i] ?? null }));
  }

  /** MoE layers that are known; 0: no token has experts. */
  get numLayers(): number {
    return this.rows[0]?.length ?? 0;
  }
}
