/** Streams and buckets of jobs: made where they aren't. */
import {
  DiscardPolicy,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type StreamConfig,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { keyStream, keySubject, natsJobNames, objectStream } from './nats_job_names.js';

/** Within this time, what is sent again isn't kept again. */
const DUPLICATES_MS = 120_000;
/** Markers of what was removed: whoever watches has seen them by then. */
export const MARKER_MS = 3_600_000;
/** Streams that fill up lose what is oldest. */
const MAX_LOG_BYTES = 2 ** 28;
/** Copies, where servers form a cluster. */
const MOST_REPLICAS = 3;
/** Errors of JetStream: it is there, with other settings; there aren't that many servers. */
const IN_USE = 10_058;
const NO_PEERS: ReadonlySet<number> = new Set([10_005, 10_074]);

type Wanted = Partial<StreamConfig> & Pick<StreamConfig, 'name'>;

/** Of which cluster, on what kind of server. */
export interface StreamNeeds {
  readonly cluster: string;
  readonly ttlMs: number;
  /** The server has message schedules. */
  readonly hasSchedules: boolean;
  /** It is one of several. */
  readonly isClustered: boolean;
}

/** All of them are there. @throws what NATS' client throws */
export async function ensureStreams(manager: JetStreamManager, needs: StreamNeeds): Promise<void> {
  for (const wanted of streamsOf(needs)) {
    try {
      await ensure(manager, { ...wanted, num_replicas: needs.isClustered ? MOST_REPLICAS : 1 });
    } catch (error) {
      if (!needs.isClustered || !(error instanceof JetStreamApiError) || !NO_PEERS.has(error.code)) throw error;
      await ensure(manager, { ...wanted, num_replicas: 1 });
    }
  }
}

/** Limits and copies that somebody changed there stay as they are. */
async function ensure(manager: JetStreamManager, wanted: Wanted): Promise<void> {
  try {
    await manager.streams.add(wanted);
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== IN_USE) throw error;
    const { config } = await manager.streams.info(wanted.name);
    const { subjects = config.subjects, max_age = config.max_age } = wanted;
    if (max_age !== config.max_age || subjects.join() !== config.subjects.join())
      await manager.streams.update(wanted.name, { ...config, subjects, max_age });
  }
}

function streamsOf({ cluster, ttlMs, hasSchedules }: StreamNeeds): readonly Wanted[] {
  const names = natsJobNames(cluster);
  const all = { storage: StorageType.File, discard: DiscardPolicy.Old };
  const keys = {
    ...all,
    discard: DiscardPolicy.New,
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    deny_delete: true,
    allow_direct: false, // whoever reads behind who wrote reads that
    allow_msg_ttl: true,
    subject_delete_marker_ttl: nanos(MARKER_MS),
  };
  const queue = { ...all, retention: RetentionPolicy.Workqueue };
  const duplicates = { duplicate_window: nanos(DUPLICATES_MS) };
  return [
    { ...keys, name: keyStream(names.records), subjects: [keySubject(names.records, '>')] },
    {
      ...keys,
      name: keyStream(names.roster),
      subjects: [keySubject(names.roster, '>')],
      max_age: nanos(ttlMs),
      ...{ duplicate_window: nanos(Math.min(DUPLICATES_MS, ttlMs)) },
    },
    { ...queue, ...duplicates, name: names.tasks, subjects: [names.task('*', '*')] },
    { ...all, ...duplicates, name: names.logs, subjects: [names.log('*', '*', '*')], max_bytes: MAX_LOG_BYTES },
    {
      ...{
        ...all,
        ...duplicates,
        name: objectStream(names.files),
        discard: DiscardPolicy.New,
        allow_rollup_hdrs: true,
      },
      ...{ subjects: [`$O.${names.files}.C.>`, `$O.${names.files}.M.>`], allow_direct: true },
    },
    ...(hasSchedules
      ? [
          {
            ...{ ...queue, name: names.firings, allow_msg_schedules: true, allow_rollup_hdrs: true },
            ...{ subjects: [names.schedule('*', '*'), names.firing('*', '*')], max_msgs_per_subject: 1 },
          },
        ]
      : []),
  ];
}
