/**
 * Whether ranks elsewhere read the same experts as the head's model folder has: each expert by its digest.
 * Why: docs/decisions/start.md#ranks-prove-their-experts-by-digest
 */
import { slotsOf, type Placement } from '../../../experts/placement/placement.js';
import { everyExpert, FolderDigests, type ExpertDigests } from '../../model/weights/expert_digests.js';
import { expertOf } from '../../model/spec/slices.js';
import { moeLayersOf, type ModelSpec } from '../../model/spec/spec.js';
import { expertKey } from '../../model/spec/tensor_names.js';
import { WeightError } from '../../weights/errors.js';
import { EngineError } from '../../protocol/errors.js';
import type { LoadReport } from '../../protocol/step_plan.js';
import type { JobOptions } from './job_options.js';

/** Whose experts are compared, and with which folder. */
export interface ExpertTableOptions {
  /** The head's model folder, which its own ranks read too. */
  readonly modelDir: string;
  readonly spec: ModelSpec;
  readonly placement: Placement;
  /** Ranks 0 … n − 1 read the head's folder. */
  readonly numLocalRanks: number;
  /** Whether experts may be read from disk later: then the table has all of them. */
  readonly isComplete: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** The digests of the head's own experts. */
export interface ExpertTable {
  readonly digests: ExpertDigests;
  /** Why the folder could not be compared with; null: it could. */
  readonly error: WeightError | null;
  /** Experts that were read for it. */
  readonly numRead: number;
}

/** Reads what ranks elsewhere will hold, unless it is known from an earlier time. @throws the signal's reason */
export async function readExpertTable(options: ExpertTableOptions): Promise<ExpertTable> {
  const digests = new Map<string, string>();
  try {
    const folder = await FolderDigests.open(options.modelDir, options.spec, options.signal);
    try {
      for (const { layer, expert } of wantedExperts(options)) {
        digests.set(expertKey(layer, expert), await folder.digest(layer, expert));
      }
    } finally {
      await folder.close();
    }
    return { digests, error: null, numRead: folder.numExpertsRead };
  } catch (error) {
    if (!(error instanceof WeightError)) throw error;
    return { digests: new Map(), error, numRead: 0 };
  }
}

function wantedExperts(options: ExpertTableOptions): Iterable<{ readonly layer: number; readonly expert: number }> {
  const { spec, placement, numLocalRanks, isComplete } = options;
  if (isComplete) return everyExpert(spec);
  const elsewhere = Array.from({ length: placement.numRanks - numLocalRanks }, (_, i) => numLocalRanks + i);
  return moeLayersOf(spec).flatMap((layer, moeLayer) => {
    const held = elsewhere.flatMap((rank) => [...slotsOf(placement, moeLayer, rank)]);
    const experts = held.filter((slice) => slice >= 0).map((slice) => expertOf(spec, slice));
    return [...new Set(experts)].map((expert) => ({ layer, expert }));
  });
}

/** Ranks of a job against the table; says so where that could not be read. @throws as {@link checkExperts} */
export function compareExperts(
  table: ExpertTable,
  reports: readonly LoadReport[],
  { config: { model }, onNotice }: Pick<JobOptions, 'config' | 'onNotice'>,
): void {
  if (table.error !== null) {
    onNotice?.(`the experts of ranks elsewhere can't be compared with those of ${model}: ${table.error.message}`);
  }
  checkExperts(table, reports);
}

/**
 * Compares what ranks elsewhere read with the table, and, where that lacks an expert, with each other. Pure.
 * @throws EngineError RANKS_DIFFER: the first rank with another expert
 */
export function checkExperts(
  table: Pick<ExpertTable, 'digests'>,
  reports: readonly Pick<LoadReport, 'expertDigests'>[],
): void {
  const known = new Map([...table.digests].map(([key, digest]) => [key, { digest, whose: "the head's model folder" }]));
  for (const [rank, { expertDigests = {} }] of reports.entries()) {
    for (const [key, digest] of Object.entries(expertDigests)) {
      const other = known.get(key);
      if (other === undefined) known.set(key, { digest, whose: `rank ${rank}` });
      else if (other.digest !== digest) throw expertsDiffer(rank, key, other.whose);
    }
  }
}

function expertsDiffer(rank: number, key: string, whose: string): EngineError {
  const [layer, expert] = key.split('.');
  const message =
    `rank ${rank} read other weights for expert ${expert} of layer ${layer} than ${whose} has; ` +
    'copy the model folder to its machine again, or start it with the --model that this job has';
  return new EngineError('RANKS_DIFFER', message, { rank });
}
