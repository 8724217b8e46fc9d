/** What help says of a benchmark beside its options. */
import type { Example } from '../../lib/commands/help/command_help.js';

/** Of one benchmark. */
export interface BenchHelp {
  /** A line for the list of all. */
  readonly title: string;
  /** Sentences: when one runs it, and how its figures are read. */
  readonly when: string;
  readonly examples: readonly Example[];
}
