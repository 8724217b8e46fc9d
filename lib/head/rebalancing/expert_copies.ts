/** What experts must be that ranks read from disk. */
import type { ExpertCopy } from '../../../experts/layer/migration_plan.js';
import type { Job } from '../../job/job.js';
import { expertOf } from '../../model/spec/slices.js';
import { moeLayersOf, type ModelSpec } from '../../model/spec/spec.js';
import { expertKey } from '../../model/spec/tensor_names.js';

/** What is known of a job's experts: those of which it doesn't know are taken from disk as they are. */
export interface KnownExperts {
  readonly spec: ModelSpec;
  readonly job: Pick<Job, 'expertDigests'>;
}

/** The same copies; those from disk with their digests. */
export function withDigests(copies: readonly ExpertCopy[], { spec, job }: KnownExperts): readonly ExpertCopy[] {
  const layers = moeLayersOf(spec);
  return copies.map((copy) => {
    const digest = job.expertDigests.get(expertKey(layers[copy.moeLayer]!, expertOf(spec, copy.logical)));
    return copy.from !== null || digest === undefined ? copy : { ...copy, digest };
  });
}
