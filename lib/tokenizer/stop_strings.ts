import { TokenizerError } from './errors.js';

/** What a piece of text led to. */
export interface StopScan {
  /** Text that certainly comes before any stop string: to be handed on. */
  readonly text: string;
  /** The stop string that was found; text ends before it, or behind it where it is included, and nothing follows. */
  readonly stop: string | undefined;
}

/** What becomes of a stop string. */
export interface StopScannerOptions {
  /** It stays in the text. Default false. */
  readonly isIncluded?: boolean | undefined;
}

/**
 * Looks for stop strings in text that arrives in pieces, holding back what may be the beginning of one.
 *
 * Of several stop strings the one that ends first wins, and of those the longest: so what is found does not depend on
 * where the text was cut into pieces.
 */
export class StopScanner {
  private held = '';
  private found: string | undefined;
  private readonly matchers: readonly StopMatcher[];

  /**
   * @param stops none of them empty; none at all is allowed and holds nothing back
   * @throws TokenizerError INVALID_ARGUMENT
   */
  constructor(
    stops: readonly string[],
    private readonly options: StopScannerOptions = {},
  ) {
    if (stops.includes('')) {
      const text = 'a stop string is empty; give stop strings of at least one character';
      throw new TokenizerError('INVALID_ARGUMENT', text);
    }
    this.matchers = stops.map((stop) => new StopMatcher(stop));
  }

  /** Takes the next piece; after a stop string was found, whatever comes is ignored. */
  push(piece: string): StopScan {
    if (this.found !== undefined) return { text: '', stop: this.found };
    for (let i = 0; i < piece.length; i++) {
      const stop = this.step(piece.charCodeAt(i));
      if (stop === undefined) continue;
      const seen = this.held + piece.slice(0, i + 1);
      this.found = stop;
      this.held = '';
      return { text: this.options.isIncluded === true ? seen : seen.slice(0, -stop.length), stop };
    }
    return this.hold(piece);
  }

  /** Takes the next piece, where no stop string that ends in it counts; one that begins in it may. */
  pass(piece: string): StopScan {
    for (let i = 0; i < piece.length; i++) this.step(piece.charCodeAt(i));
    return this.hold(piece);
  }

  /** The text that was held back, when no more text comes. */
  flush(): string {
    const rest = this.held;
    this.held = '';
    for (const matcher of this.matchers) matcher.numMatched = 0;
    return rest;
  }

  /** Takes a UTF-16 unit; the longest stop string that ends with it. */
  private step(unit: number): string | undefined {
    let longest: string | undefined;
    for (const matcher of this.matchers) {
      if (matcher.step(unit) && matcher.stop.length > (longest ?? '').length) longest = matcher.stop;
    }
    return longest;
  }

  private hold(piece: string): StopScan {
    const seen = this.held + piece;
    const numSafe = seen.length - this.matchers.reduce((most, { numMatched }) => Math.max(most, numMatched), 0);
    this.held = seen.slice(numSafe);
    return { text: seen.slice(0, numSafe), stop: undefined };
  }
}

/**
 * How much of one stop string the text ends with, unit by unit (Knuth, Morris, Pratt): what doesn't match costs no second look at the text, whatever repeats in
 * the stop string, and a request may bring long ones.
 */
class StopMatcher {
  /** Units of the stop string that the text ends with; never all of them. */
  numMatched = 0;
  /** At i: length of the longest beginning of the stop string, but for itself, with which its first i + 1 units end. */
  private readonly borders: Int32Array;

  constructor(readonly stop: string) {
    this.borders = new Int32Array(stop.length);
    for (let i = 1; i < stop.length; i++) this.borders[i] = this.grown(this.borders[i - 1]!, stop.charCodeAt(i));
  }

  /** Whether the stop string ends with this unit. */
  step(unit: number): boolean {
    const numMatched = this.grown(this.numMatched, unit);
    const isWhole = numMatched === this.stop.length;
    this.numMatched = isWhole ? this.borders[numMatched - 1]! : numMatched;
    return isWhole;
  }

  private grown(numMatched: number, unit: number): number {
    let length = numMatched;
    while (length > 0 && this.stop.charCodeAt(length) !== unit) length = this.borders[length - 1]!;
    return this.stop.charCodeAt(length) === unit ? length + 1 : length;
  }
}
