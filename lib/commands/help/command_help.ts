/** What help says of a command beside its options. */

/** A line that does something useful, as it is typed. */
export interface Example {
  /** What it does, without a full stop. */
  readonly says: string;
  /** In one line, for a shell of POSIX: 'expertwire …'. */
  readonly line: string;
}

/** Of one command. */
export interface CommandHelp {
  /** Sentences: when one calls it, rather than another, and what it leaves behind. */
  readonly when: string;
  readonly examples: readonly Example[];
  /** Documents of this package that tell more, by their paths in it. */
  readonly see?: readonly string[];
}
