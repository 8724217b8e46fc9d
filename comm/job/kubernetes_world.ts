/** A pod's place in a job of pods, one rank in each: pure, the caller passes the environment in. */
import { CommError } from '../base/errors.js';

/** What pods know by their environment. Names that begin with EXPERTWIRE are set by our manifests, the others by Kubernetes. */
const INDEXED_JOB = { rank: 'JOB_COMPLETION_INDEX', size: 'EXPERTWIRE_WORLD_SIZE', head: 'EXPERTWIRE_HEAD' } as const;
const LEADER_WORKER_SET = { rank: 'LWS_WORKER_INDEX', size: 'LWS_GROUP_SIZE', head: 'LWS_LEADER_ADDRESS' } as const;

/** Names of the variables that say where a pod stands, and the host of rank 0; `own`: the address of this pod, where its manifest tells it. */
export interface PodPlace {
  readonly names: Readonly<Record<'rank' | 'size' | 'localRank', string>>;
  readonly head: string;
  readonly own: string | undefined;
}

/**
 * Of a pod of an indexed Job or a LeaderWorkerSet; undefined for others. Any indexed Job numbers its pods: one is a job of ranks where its manifest says how many.
 * @throws CommError INVALID_ARGUMENT where the head's host is missing
 */
export function podPlace(env: Readonly<Record<string, string | undefined>>): PodPlace | undefined {
  const { rank, size, head } = env.LWS_GROUP_SIZE === undefined ? INDEXED_JOB : LEADER_WORKER_SET;
  if (env[size] === undefined || env[rank] === undefined) return undefined;
  const host = env[head];
  if (host === undefined || host === '') {
    const message = `${head} is not set in this pod, which has ${size}; set it to the host of the pod with rank 0 (expertwire manifest does)`;
    throw new CommError('INVALID_ARGUMENT', message);
  }
  return { names: { rank, size, localRank: rank }, head: host, own: env.POD_IP };
}
