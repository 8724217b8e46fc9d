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

  /**
   * @param stops none of them empty; none at all is allowed and holds nothing back
   * @throws TokenizerError INVALID_ARGUMENT
   */
  constructor(
    private readonly stops: readonly string[],
    private readonly options: StopScannerOptions = {},
  ) {
    if (!stops.includes('')) return;
    throw new TokenizerError('INVALID_ARGUMENT', 'a stop string is empty; give stop strings of at least one character');
  }

  /** Takes the next piece; after a stop string was found, whatever comes is ignored. */
  push(piece: string): StopScan {
    if (this.found !== undefined) return { text: '', stop: this.found };
    const seen = this.held + piece;
    const match = firstMatch(seen, this.stops, this.held.length);
    if (match === undefined) return this.hold(seen);
    this.found = match.stop;
    this.held = '';
    const { begin, end } = match;
    return { text: seen.slice(0, this.options.isIncluded === true ? end : begin), stop: match.stop };
  }

  /** Takes the next piece, where no stop string that ends in it counts; one that begins in it may. */
  pass(piece: string): StopScan {
    return this.hold(this.held + piece);
  }

  /** The text that was held back, when no more text comes. */
  flush(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }

  private hold(seen: string): StopScan {
    const numSafe = seen.length - numHeldBack(seen, this.stops);
    this.held = seen.slice(numSafe);
    return { text: seen.slice(0, numSafe), stop: undefined };
  }
}

interface Match {
  readonly stop: string;
  readonly begin: number;
  readonly end: number;
}

/** Of the stop strings that end behind the first `numOld` characters. */
function firstMatch(text: string, stops: readonly string[], numOld: number): Match | undefined {
  return stops
    .map((stop) => {
      const begin = text.indexOf(stop, Math.max(0, numOld + 1 - stop.length));
      return { stop, begin, end: begin + stop.length };
    })
    .filter(({ begin }) => begin >= 0)
    .sort((a, b) => a.end - b.end || a.begin - b.begin)[0];
}

/** Length of the longest end of the text with which a stop string begins. */
function numHeldBack(text: string, stops: readonly string[]): number {
  const longest = stops.reduce((max, stop) => Math.max(max, stop.length - 1), 0);
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(-length);
    if (stops.some((stop) => stop.startsWith(end))) return length;
  }
  return 0;
}
