/** What a command sees of the world: nothing of `process`, so that tests can run it. */
import type { Readable, Writable } from 'node:stream';
import type { InstanceNews } from '../../cluster/start/instance_news.js';

/** A stream for text; a terminal says that it is one, and how many columns it has. */
export interface Output extends Writable {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Where text comes from; a terminal says that it is one. */
export interface Input extends Readable {
  readonly isTTY?: boolean;
}

/** What each command is given besides its arguments. */
export interface CommandContext {
  readonly stdout: Output;
  /** Everything but results: progress, summaries, log lines. */
  readonly stderr: Output;
  readonly stdin: Input;
  /** Aborted by Ctrl-C or a termination signal. */
  readonly signal: AbortSignal;
  /**
   * A session has a use of its own for Ctrl-C: `taker` is asked instead of ending the command, and answers false where it is to end all the same. Returns how to
   * stop that.
   */
  readonly takeInterrupts?: (taker: () => boolean) => () => void;
  /** What a signal asks for was done in full: that it ended the process is no failure. */
  readonly obeyed?: () => void;
  /** Sends news to the process that started this one and listens; otherwise to nobody. */
  readonly tellParent?: (news: InstanceNews) => void;
  /** The process's own environment: secrets and launchers are read there, and a rank sets what TensorFlow's library reads. */
  readonly env: Record<string, string | undefined>;
}

/** The reason of a command's signal that a signal of the system aborted. */
export class Interruption extends Error {
  constructor(readonly signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.name = 'Interruption';
  }
}

/** Whether a command's signal was aborted by SIGTERM. Classes of the bundle aren't those of the process's first file. */
export const isTermination = (reason: unknown): boolean =>
  reason instanceof Error && 'signal' in reason && reason.signal === 'SIGTERM';

/** A failure that the user was told of already: exit code 1, and no further word. */
export class ToldError extends Error {
  constructor() {
    super('a failure that was told already');
    this.name = 'ToldError';
  }
}

/** A mistake in how a command was called: exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
