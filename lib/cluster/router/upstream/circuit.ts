/**
 * Whether an instance is asked: after some failures in a row it isn't, until a probe shows that it answers again. Pure.
 * Why: docs/decisions/cluster.md#probes-close-a-circuit
 */

/** What is remembered of an instance. */
export interface Circuit {
  /** Requests in a row that came to nothing. */
  readonly numFailures: number;
  /** Probes in a row that nobody answered. */
  readonly numSilentProbes: number;
  /** Null: it is asked. Otherwise it isn't before this time, and then not before a probe is answered. */
  readonly openUntilMs: number | null;
}

/**
 * `answered`, `failed`: a request was answered, or came to nothing. A probe was answered well, refused (it says itself that it takes nothing), or nobody answered.
 */
export type CircuitEvent = 'answered' | 'failed' | 'probe_answered' | 'probe_refused' | 'probe_silent';

/** When it is asked no longer. */
export interface CircuitLimits {
  /** Failures in a row. */
  readonly maxFailures: number;
  /** How long at least. */
  readonly openMs: number;
}

/** Of an instance of which nothing bad is known. */
export const CLOSED: Circuit = { numFailures: 0, numSilentProbes: 0, openUntilMs: null };

/** What is remembered after an event. */
export function afterEvent(circuit: Circuit, event: CircuitEvent, nowMs: number, limits: CircuitLimits): Circuit {
  const { numFailures, numSilentProbes, openUntilMs } = circuit;
  const opened = openUntilMs ?? nowMs + limits.openMs;
  switch (event) {
    case 'answered':
      return openUntilMs === null ? { ...circuit, numFailures: 0 } : circuit; // it was sent before
    case 'failed': {
      const isTooMuch = numFailures + 1 >= limits.maxFailures;
      return { ...circuit, numFailures: numFailures + 1, openUntilMs: isTooMuch ? opened : openUntilMs };
    }
    case 'probe_answered': {
      const isOver = openUntilMs !== null && nowMs >= openUntilMs;
      return isOver ? CLOSED : { ...circuit, numSilentProbes: 0 };
    }
    case 'probe_refused':
      return { ...circuit, numSilentProbes: 0, openUntilMs: openUntilMs ?? nowMs }; // until it says otherwise
    case 'probe_silent': {
      const isTooMuch = numSilentProbes + 1 >= limits.maxFailures;
      return { ...circuit, numSilentProbes: numSilentProbes + 1, openUntilMs: isTooMuch ? opened : openUntilMs };
    }
  }
}

/** It is asked. */
export const isClosed = ({ openUntilMs }: Circuit): boolean => openUntilMs === null;

/** It doesn't even answer probes: what still waits for it waits in vain. */
export const isDead = ({ numSilentProbes }: Circuit, { maxFailures }: CircuitLimits): boolean =>
  numSilentProbes >= maxFailures;
