/** When ranks are killed, and when new ones come: the same for one seed, however long it is followed. Pure. */
import { uniform } from '../../../base/philox.js';

/** What happens at a moment, counted from the start of the load. */
export interface PlannedFault {
  readonly atMs: number;
  readonly kind: 'kill' | 'join';
  /** Which of the ranks that are there then. In [0, 1). */
  readonly draw: number;
}

/** As a workload has it, with a seed. */
export interface KillOptions {
  readonly perMinute: number;
  /** From a kill until a rank joins; null: none does. */
  readonly returnMs: number | null;
  readonly seed: number;
}

const MINUTE_MS = 60_000;

/** Without end, in the order of time. */
export function* killPlan({ perMinute, returnMs, seed }: KillOptions): Generator<PlannedFault, void> {
  if (perMinute === 0) return;
  const meanMs = MINUTE_MS / perMinute;
  const joins: PlannedFault[] = [];
  let atMs = 0;
  for (let i = 0; ; i++) {
    atMs += meanMs * (0.5 + uniform(seed, i, 0));
    while (joins.length > 0 && joins[0]!.atMs <= atMs) yield joins.shift()!;
    const draw = uniform(seed, i, 1);
    yield { atMs, kind: 'kill', draw };
    if (returnMs !== null) joins.push({ atMs: atMs + returnMs, kind: 'join', draw });
  }
}
