/** What a rank proves of the weights that it reads. Why: docs/decisions/start.md#ranks-prove-their-experts-by-digest, docs/decisions/start.md#ranks-of-one-folder-hash-nothing */
import type { Rank } from '../../base/ids.js';
import { slotsOf, type Placement } from '../../experts/placement/placement.js';
import { denseTensors, expertTensors } from '../model/weights/rank_tensors.js';
import { expertOf } from '../model/spec/slices.js';
import { moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import { expertKey } from '../model/spec/tensor_names.js';
import type { ModelWeights } from '../model/stored/model_weights.js';
import { Fingerprint } from '../weights/fingerprint.js';
import { hashTensors, type HashOptions } from '../weights/tensor_hashes.js';
import { partName, type TensorPart } from '../weights/tensor_part.js';

/** What is read, and where. */
export interface ProofOptions extends HashOptions {
  readonly spec: ModelSpec;
  readonly weights: ModelWeights;
  readonly configBytes: Uint8Array;
  /** What the job takes instead of its fields. */
  readonly modelOverrides: Readonly<Record<string, unknown>>;
  /** What proves the plug-ins of the job. */
  readonly plugins: readonly Uint8Array[];
  readonly placement: Placement;
  readonly rank: Rank;
  /** This rank reads the head's own folder, on its machine. */
  readonly readsHeadsFolder: boolean;
  /** So does every rank of the job. */
  readonly isOneFolder: boolean;
}

/** One hashes 1.5 GB a second: as fast as most disks read, four as fast as weights are loaded from memory. */
const MAX_HASH_THREADS = 4;

/** Equal for ranks that read the same. */
export interface RankProof {
  /** Of what all ranks read alike. */
  readonly fingerprint: string;
  /** Of its routed experts; none where it reads the head's folder. */
  readonly expertDigests: Readonly<Record<string, string>>;
}

/**
 * Reads nothing where every rank of the job reads one folder of one machine: their files are the same ones, and none was written since the first rank opened it. Otherwise
 * it hashes what the rank holds, beside whoever loads that.
 * @throws WeightError as {@link hashTensors}
 */
export async function proofOf(options: ProofOptions): Promise<RankProof> {
  const { spec, weights, configBytes, modelOverrides, plugins, readsHeadsFolder, isOneFolder } = options;
  const { checkpoint } = weights;
  const isOwn = Object.keys(modelOverrides).length === 0;
  const overrides = isOwn ? [] : [Buffer.from(JSON.stringify(modelOverrides))];
  const preamble = [configBytes, ...overrides, ...plugins, ...checkpoint.headers];
  if (readsHeadsFolder && isOneFolder) {
    const files = checkpoint.identities.map((text) => Buffer.from(text));
    return { fingerprint: new Fingerprint([...preamble, ...files]).digest(), expertDigests: {} };
  }
  const dense = denseTensors(spec, weights).flatMap((name) => weights.parts(name));
  const experts = readsHeadsFolder ? new Map<string, readonly TensorPart[]>() : partsOfExperts(options);
  const { signal } = options;
  const numThreads = Math.min(MAX_HASH_THREADS, options.numThreads ?? 1);
  const hashes = await hashTensors(checkpoint, [...dense, ...[...experts.values()].flat()], { numThreads, signal });
  const digests = Array.from(experts, ([key, parts]) => [key, digestOf(parts, hashes)] as const);
  return { fingerprint: digestOf(dense, hashes, preamble), expertDigests: Object.fromEntries(digests) };
}

function digestOf(
  parts: readonly TensorPart[],
  hashes: ReadonlyMap<string, string>,
  preamble?: readonly Uint8Array[],
): string {
  const fingerprint = new Fingerprint(preamble);
  for (const name of parts.map(partName)) fingerprint.addHash(name, hashes.get(name)!);
  return fingerprint.digest();
}

/** By the key of each expert that the rank holds. */
function partsOfExperts({ spec, weights, placement, rank }: ProofOptions): Map<string, readonly TensorPart[]> {
  const parts = new Map<string, readonly TensorPart[]>();
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    for (const held of slotsOf(placement, moeLayer, rank)) {
      if (held < 0) continue;
      const expert = expertOf(spec, held);
      const names = expertTensors(spec, layer, expert);
      parts.set(
        expertKey(layer, expert),
        names.flatMap((name) => weights.parts(name)),
      );
    }
  }
  return parts;
}
