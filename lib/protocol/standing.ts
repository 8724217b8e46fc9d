/** What a rank tells a head that it comes back to. */
import * as z from 'zod';
import { CommError } from '../../comm/base/errors.js';
import type { LoadReport } from './step_plan.js';

/** Where a rank stands between two steps. */
export interface RankStanding {
  /** The last epoch that it entered, and who was in it. */
  readonly epoch: number;
  readonly members: readonly number[];
  /** Of the placement that it would compute with, as far as it heard of one. */
  readonly version: number;
  /** Of its own slots, by MoE layer: the expert that each holds, −1 none. */
  readonly slots: readonly Int32Array[];
}

/** All that a rank says of itself. */
export interface ReturningRank extends RankStanding {
  /** Of the job that it was told to run. */
  readonly digest: string;
  readonly report: LoadReport;
}

const count = z.int().min(0);
const RETURNING = z.looseObject({
  digest: z.string(),
  epoch: count,
  members: z.array(count),
  version: count,
  slots: z.array(z.instanceof(Int32Array)),
  report: z.looseObject({ pid: z.number() }),
});

/** What a rank said, in the outlines that a head relies on. @throws CommError PROTOCOL */
export function returningRank(said: unknown): ReturningRank {
  const result = RETURNING.safeParse(said);
  if (result.success) return result.data as unknown as ReturningRank;
  throw new CommError('PROTOCOL', 'a rank came back and says nothing of what it holds; run the same build everywhere');
}
