/**
 * What a rank elsewhere must have read to join a job whose first ranks proved nothing, since they all read the head's folder: found when the first one comes.
 * Why: docs/decisions/elastic.md#newcomers-prove-what-they-read
 */
import { asRank } from '../../../base/ids.js';
import type { Placement } from '../../../experts/placement/placement.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import { openWeights } from '../../model/stored/model_weights.js';
import { proofsOf } from '../../plugins/job_plugins.js';
import type { JobPlugin } from '../../plugins/plugin_code.js';
import { proofOf } from '../../rank/rank_proof.js';
import { readModelFiles } from '../../weights/model_files.js';

/** The folder, and what else is a part of the proof. */
export interface FolderProofOptions {
  readonly modelDir: string;
  readonly spec: ModelSpec;
  readonly modelOverrides: Readonly<Record<string, unknown>>;
  readonly plugins: readonly JobPlugin[];
  readonly placement: Placement;
  readonly signal: AbortSignal;
}

/** The fingerprint that a rank proves with another folder of the same content. @throws WeightError, ModelError; the signal's reason */
export async function contentFingerprint({ modelDir, plugins, ...options }: FolderProofOptions): Promise<string> {
  const { configBytes } = await readModelFiles(modelDir);
  const weights = await openWeights(modelDir, options.spec);
  try {
    const whose = { rank: asRank(0), readsHeadsFolder: true, isOneFolder: false };
    const proof = await proofOf({ ...options, ...whose, weights, configBytes, plugins: proofsOf(plugins) });
    return proof.fingerprint;
  } finally {
    await weights.close();
  }
}
