/** The one base of every error that expertwire throws on purpose. */

/** What goes with an error besides its text. */
export interface CodedErrorContext {
  /** Ranks whose doing it is. Default: nobody's. */
  readonly blames?: readonly number[] | undefined;
  readonly cause?: unknown;
}

/**
 * An error that code can act on without reading its text. The message is `CODE: reason; advice`: a text is given as `reason; advice`, and the first
 * "; " parts them. Each layer has a class of its own with a closed set of codes.
 */
export abstract class CodedError<Code extends string = string> extends Error {
  /** What happened: the message without code and advice. */
  readonly reason: string;
  /** What to do about it; empty where the error says nothing of it. */
  readonly advice: string;
  readonly blames: readonly number[];

  constructor(
    readonly code: Code,
    text: string,
    { blames = [], cause }: CodedErrorContext = {},
  ) {
    super(`${code}: ${text}`, cause === undefined ? undefined : { cause });
    const end = text.indexOf('; ');
    this.name = new.target.name;
    this.reason = end < 0 ? text : text.slice(0, end);
    this.advice = end < 0 ? '' : text.slice(end + 2);
    this.blames = blames;
  }

  /** Reason and advice: the message without its code. */
  get text(): string {
    return textOf(this);
  }
}

/** A bug of ours: something that no input should bring about. */
export class InternalError extends CodedError<'INTERNAL'> {
  constructor(what: string) {
    super('INTERNAL', `${what}; please report this`);
  }
}

/** Reason and advice as an error's text has them. */
export const textOf = ({ reason, advice }: Pick<CodedError, 'reason' | 'advice'>): string =>
  advice === '' ? reason : `${reason}; ${advice}`;
