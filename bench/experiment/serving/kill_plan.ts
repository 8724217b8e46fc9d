/** When ranks are killed, and when new ones come: the same for one seed, however long it is followed. Pure. */
import { uniform } from '../../../base/philox.js';

/** What happens at a moment, counted from the start of the load. */
export interface PlannedFault {
  readonly atMs: number;
  readonly kind: 'kill' | 'join';
  /** Which of the ranks that are there then. In [0, 1). */
  readonly draw: number;
}

/** Again and again at a rate, as a workload has it, or once at a moment. */
export type KillOptions = (
  { readonly kind: 'rate'; readonly perMinute: number } | { readonly kind: 'once'; readonly atMs: number }
) & {
  /** From a kill until a rank joins; null: none does. */
  readonly returnMs: number | null;
  readonly seed: number;
};

const MINUTE_MS = 60_000;

/** In the order of time; at a rate without end. */
export function* killPlan(options: KillOptions): Generator<PlannedFault, void> {
  const { returnMs } = options;
  const joins: PlannedFault[] = [];
  for (const kill of kills(options)) {
    while (joins.length > 0 && joins[0]!.atMs <= kill.atMs) yield joins.shift()!;
    yield kill;
    if (returnMs !== null) joins.push({ ...kill, atMs: kill.atMs + returnMs, kind: 'join' });
  }
  yield* joins;
}

function* kills(options: KillOptions): Generator<PlannedFault, void> {
  const { seed } = options;
  const drawn = (atMs: number, i: number): PlannedFault => ({ atMs, kind: 'kill', draw: uniform(seed, i, 1) });
  if (options.kind === 'once') yield drawn(options.atMs, 0);
  else if (options.perMinute > 0) {
    const meanMs = MINUTE_MS / options.perMinute;
    let atMs = 0;
    for (let i = 0; ; i++) yield drawn((atMs += meanMs * (0.5 + uniform(seed, i, 0))), i);
  }
}
