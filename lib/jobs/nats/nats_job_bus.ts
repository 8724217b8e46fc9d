/** The bus of jobs over servers of NATS with JetStream: workers, and who gives them work, are wherever they are. */
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { ClusterError } from '../../cluster/base/errors.js';
import { NatsLink } from '../../cluster/bus/nats/nats_link.js';
import { natsOptionsOf, type NatsEnvironment } from '../../cluster/bus/nats/nats_options.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { JobError } from '../base/errors.js';
import type { JobBus } from '../base/job_bus.js';
import { NatsBlobs } from './nats_blobs.js';
import { NatsCalls } from './nats_calls.js';
import { natsJobNames } from './nats_job_names.js';
import { NatsLogs } from './nats_logs.js';
import { NatsRecords } from './nats_records.js';
import { NatsRoster } from './nats_roster.js';
import { NatsSchedules } from './nats_schedules.js';
import { ensureStreams } from './nats_streams.js';
import { NatsTasks } from './nats_tasks.js';

/** Bytes of a message: a server that takes fewer is refused. */
const MIN_PAYLOAD_BYTES = 2 ** 20;
/** The first version with schedules, and the first with markers of what was removed. */
const SCHEDULES = [2, 14] as const;
const MARKERS = [2, 11] as const;

/** How patient it is. */
export interface JobBusPatience {
  /** For the first connection. Default 15 seconds. */
  readonly connectMs?: number;
  /** For a bus that is down meanwhile. Default ten minutes: a run of hours isn't lost with it. */
  readonly callMs?: number;
  /** A task whose worker says nothing goes to another one. Default twice `cluster.ttl_ms`. */
  readonly silenceMs?: number;
}

/**
 * Connects to the servers of `cluster.bus`. `env`: of the process, for secrets.
 * @throws JobError BUS_FAILED
 */
export async function openNatsJobBus(
  cluster: ExpertwireConfig['cluster'],
  env: NatsEnvironment = {},
  { connectMs = 15_000, callMs = 600_000, silenceMs = cluster.ttl_ms * 2 }: JobBusPatience = {},
): Promise<JobBus> {
  const link = await connected(cluster, env, connectMs);
  try {
    // Servers of a cluster that is coming up have nobody to ask for a while.
    const manager = await jetstreamManager(link.connection, { checkAPI: false });
    const calls = new NatsCalls(link, manager, callMs);
    return await busOver(calls, cluster, silenceMs, connectMs);
  } catch (error) {
    await link.close();
    if (error instanceof JobError) throw error;
    throw new JobError(
      'BUS_FAILED',
      `NATS at ${link.server} has no JetStream that answers (${String(error)}); see its log`,
      { cause: error },
    );
  }
}

async function connected(
  cluster: ExpertwireConfig['cluster'],
  env: NatsEnvironment,
  patienceMs: number,
): Promise<NatsLink> {
  try {
    return await NatsLink.connect({ connection: natsOptionsOf(cluster, env), patienceMs });
  } catch (error) {
    if (error instanceof ClusterError) throw new JobError('BUS_FAILED', error.text, { cause: error });
    throw error;
  }
}

async function busOver(
  calls: NatsCalls,
  cluster: ExpertwireConfig['cluster'],
  silenceMs: number,
  connectMs: number,
): Promise<JobBus> {
  const hasSchedules = checkedServer(calls);
  const { name, heartbeat_ms: heartbeatMs, ttl_ms: ttlMs } = cluster;
  const names = natsJobNames(name);
  const isClustered = calls.nats.info?.cluster !== undefined;
  const opening = new NatsCalls(calls.link, calls.manager, connectMs);
  await opening.call('its streams of jobs', () =>
    ensureStreams(calls.manager, { cluster: name, ttlMs, hasSchedules, isClustered }),
  );
  const kvm = new Kvm(calls.nats);
  const [records, workers] = await Promise.all([names.records, names.roster].map((each) => kvm.open(each)));
  const kept = new NatsRecords(calls, records!, names.records);
  return new NatsJobBus(calls, {
    records: kept,
    tasks: new NatsTasks(calls, names, kept, silenceMs),
    schedules: new NatsSchedules(calls, names, { hasSchedules, silenceMs }),
    blobs: new NatsBlobs(calls, names.files),
    logs: new NatsLogs(calls, names),
    roster: new NatsRoster(calls, workers!, names.roster, { heartbeatMs, ttlMs }),
  });
}

/** Whether it has schedules. @throws JobError BUS_FAILED: it lacks what nothing goes without */
function checkedServer({ nats, link }: NatsCalls): boolean {
  const { max_payload: most = MIN_PAYLOAD_BYTES, version = '0.0.0' } = nats.info ?? {};
  if (most < MIN_PAYLOAD_BYTES) {
    const text = `NATS at ${link.server} takes messages of ${most} bytes; set max_payload to ${MIN_PAYLOAD_BYTES} at least`;
    throw new JobError('BUS_FAILED', text);
  }
  if (!isSince(version, MARKERS))
    throw new JobError('BUS_FAILED', `NATS at ${link.server} is version ${version}; take 2.14 or later`);
  return isSince(version, SCHEDULES);
}

function isSince(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

interface Parts {
  readonly records: NatsRecords;
  readonly tasks: NatsTasks;
  readonly schedules: NatsSchedules;
  readonly blobs: NatsBlobs;
  readonly logs: NatsLogs;
  readonly roster: NatsRoster;
}

/** One connection, for all parts. */
class NatsJobBus implements JobBus {
  readonly records: NatsRecords;
  readonly tasks: NatsTasks;
  readonly schedules: NatsSchedules;
  readonly blobs: NatsBlobs;
  readonly logs: NatsLogs;
  readonly roster: NatsRoster;
  private closing: Promise<void> | null = null;

  constructor(
    private readonly calls: NatsCalls,
    { records, tasks, schedules, blobs, logs, roster }: Parts,
  ) {
    this.records = records;
    this.tasks = tasks;
    this.schedules = schedules;
    this.blobs = blobs;
    this.logs = logs;
    this.roster = roster;
  }

  /** As {@link JobBus.close}. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    await Promise.all([this.tasks.close(), this.schedules.close()]);
    this.calls.end();
    await this.roster.close();
    await this.calls.link.close();
  }
}
