/** What can befall a job, and when. Pure. */

export const FAULT_KINDS = ['kill', 'stop', 'slow', 'cut', 'silence', 'leave', 'join', 'abort'] as const;
/**
 * kill: SIGKILL to a rank. stop: SIGSTOP, and SIGCONT later. slow: a rank gets half of its time for a while. cut: the link between two ranks ends, as both
 * notice. silence: nothing comes any more from one rank to another, as neither notices. leave: SIGTERM
 * to a rank, which gives what it has away before it goes. join: a rank joins. abort: a newcomer is killed while it joins.
 */
export type FaultKind = (typeof FAULT_KINDS)[number];

/** How many of each kind. */
export type FaultCounts = Readonly<Record<FaultKind, number>>;

export const MOMENTS = ['apart', 'together', 'recovering', 'joining', 'moving'] as const;
/**
 * When a fault comes. apart: some tokens after the job recovered from the one before. together: with the one before. recovering: when the job goes on
 * without the rank that the one before took. joining: while the rank of the one before joins. moving: while experts move.
 */
export type Moment = (typeof MOMENTS)[number];

/** One thing that befalls a job. */
export interface Fault {
  readonly kind: FaultKind;
  readonly when: Moment;
  /** Tokens of all streams that come first, where it comes `apart`. */
  readonly gapTokens: number;
  /** How long a rank is stopped or slow. */
  readonly ms: number;
  /** Who it befalls, chosen of those that are there then: see `victimsOf`. In [0, 1). */
  readonly draws: readonly [number, number];
}

/** Kinds that may take a rank from the job. */
const TAKES: ReadonlySet<FaultKind> = new Set(['kill', 'stop', 'cut', 'silence', 'leave']);

/** Whether the job may have one rank fewer afterwards. */
export const takesRank = ({ kind }: Pick<Fault, 'kind'>): boolean => TAKES.has(kind);
