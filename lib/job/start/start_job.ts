/** Starting a job: ranks of this machine and of others are brought together, load, and meet. */
import { randomBytes } from 'node:crypto';
import { totalmem } from 'node:os';
import { remoteErrorOf } from '../../../comm/base/errors.js';
import type { ControlLink } from '../../../comm/job/control_link.js';
import type { ControlPortOptions } from '../../../comm/job/control_port.js';
import { Rendezvous } from '../../../comm/job/rendezvous.js';
import { backendOf } from '../../model/weights/residence.js';
import { overridesOf } from '../../model/weights/resident_overrides.js';
import { hasKvDoors } from '../../protocol/kv_pool.js';
import { EngineError } from '../../protocol/errors.js';
import { compareExperts, readExpertTable, type ExpertTable } from './expert_table.js';
import { Job, type JobParts } from '../job.js';
import type { JobOptions } from './job_options.js';
import { kvReachOf } from './kv_reach.js';
import { newcomersOf, othersMayCome } from './open_door.js';
import { kvStorePlanOf } from '../../protocol/kv_store_plan.js';
import { kvSizesOf } from '../../protocol/kv_transfer.js';
import { numStatesOf } from '../../protocol/limits.js';
import { LocalRanks, type LocalRanksOrders } from '../local_ranks.js';
import { LossWatch } from '../loss_watch.js';
import { firstReport, nearestCause } from '../rank_start.js';
import { localSeats } from '../../rank/local_seat.js';
import { agreementOf, type KernelAgreement } from '../../kernels/kernel_choice.js';
import { UNTRIED } from '../../kernels/kernel_trial.js';
import { devicesFor, kernelsFor } from '../../rank/rank_place.js';
import { checkReports, noticesOf } from '../../protocol/report_check.js';
import { jobDigest, moveLimitsOf, tierWishOf, type RankJob } from '../../protocol/rank_job.js';
import { readTls } from './tls_files.js';
import { checkRanksHere, checkTransport } from './transport.js';

/** How long a rank of this machine looks for the head that started it. */
const LOCAL_JOIN_TIMEOUT_MS = 60_000;
/** Longest time without news while ranks join and load: machines of one job may have to be set up first. */
const DEFAULT_JOIN_TIMEOUT_MS = 600_000;
/** How long all ranks wait for the head without a word of it. */
const PATIENCE_MS = 3000;
/** What a timer can count. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * A job whose ranks have joined, loaded and met.
 * @throws RankStartError: why a rank can't start; CommError, EngineError: what the network got wrong. Then every process and port is closed.
 */
export async function startJob(options: JobOptions): Promise<Job> {
  const { config, placement, numLocalRanks, numExternalRanks = 0, onTimeline, signal } = options;
  const numRanks = numLocalRanks + numExternalRanks;
  checkTransport(config.comm, numLocalRanks, numExternalRanks, config.parallel.head_grace_ms);
  checkRanksHere(config.comm, numLocalRanks, totalmem());
  const tls = await readTls(config.comm.tls);
  const { host, port } = options.listen ?? { host: '127.0.0.1', port: 0 };
  const backend = backendOf(config.backend, config);
  const devices = await devicesFor(backend);
  const kernels = numLocalRanks === 0 ? UNTRIED : await kernelsFor(backend, config.compute, options);
  const asThreads = config.comm.transport === 'threads';
  const secret = options.secret ?? randomBytes(32).toString('hex');
  const job = rankJobOf(options);
  let agreed: KernelAgreement = { fma: false };
  const rendezvous = await Rendezvous.listen({
    host,
    port,
    secret,
    tls,
    size: placement.numRanks,
    numFirst: numRanks,
    staysOpen: othersMayCome(options),
    numReserved: numLocalRanks,
    job,
    agree: (offers) => (agreed = agreementOf(offers)),
    timeoutMs: options.joinTimeoutMs ?? DEFAULT_JOIN_TIMEOUT_MS,
    signal,
    ...(options.onRefused && { onRefused: options.onRefused }),
    onProgress: (rank, { fraction }) => options.onProgress?.(rank, fraction),
  });
  options.onListening?.({ host, port: rendezvous.port });
  const comparing = new AbortController();
  const table = numExternalRanks === 0 ? null : expertTableOf(options, comparing.signal);
  const local = options.ranks ?? LocalRanks.ofJob(numLocalRanks, config.comm.transport);
  const places = localSeats(asThreads ? 1 : numLocalRanks, options.world).map((seat) => ({ seat, devices, kernels }));
  local.begin(localOrders(options, { host, port: rendezvous.port, secret, tls }, places));
  // Until all have loaded, the loss of one rank ends the start.
  const watched = { first: numRanks, exits: local.exits };
  const losses = new LossWatch({ ...watched, policy: 'fail', enterTimeoutMs: config.comm.timeout_ms });
  let links: readonly ControlLink[] = [];
  try {
    links = await firstOf(rendezvous.links(), losses.ended).catch((error: unknown) => nearestCause(error, losses));
    const reports = await firstOf(Promise.all(links.map((link, rank) => firstReport(link, rank))), losses.ended);
    checkReports(reports);
    for (const line of noticesOf(reports)) options.onNotice?.(line);
    const known = table === null ? null : await firstOf(withPatience(table, options), losses.ended);
    if (known !== null) compareExperts(known, reports, options);
    const { on_peer_loss: onPeerLoss } = config.comm;
    const expertDigests = new Map(known?.digests);
    const first = { job, agreed, reports, expertDigests };
    const others = othersMayCome(options) ? { newcomers: newcomersOf(options, rendezvous, first) } : {};
    const seats = { numSeats: placement.numRanks, ...others };
    const plugins = options.plugins?.map(({ path }) => path) ?? [];
    return new Job({
      rendezvous,
      local,
      links,
      reports,
      expertDigests,
      onTimeline,
      onPeerLoss,
      plugins,
      ...seats,
      ...timesOf(options),
    });
  } catch (error) {
    comparing.abort(error);
    tellAll(links.slice(numLocalRanks), error);
    await rendezvous.close();
    await local.close({ gracefully: false });
    throw error;
  } finally {
    losses.close();
  }
}

/** How long steps and epochs may take. */
export function timesOf({ config, spec }: JobOptions): Pick<JobParts, 'stepTimeoutMs' | 'enterTimeoutMs'> {
  const { timeout_ms: timeoutMs } = config.comm;
  const stepTimeoutMs = Math.min(timeoutMs * (spec.layers.length + 1), MAX_TIMER_MS);
  return { stepTimeoutMs, enterTimeoutMs: timeoutMs };
}

/** What ranks of this machine are told, those too that are started later. */
export function localOrders(
  options: JobOptions,
  { host, port, secret, tls }: HeadsPlace,
  places: LocalRanksOrders['places'],
): LocalRanksOrders {
  const kvReach = kvReachOf(options.config, options.advertise);
  return {
    places,
    order: {
      head: options.dialHead ?? { host, port },
      secret,
      ...(tls !== undefined && { tls }),
      joinTimeoutMs: LOCAL_JOIN_TIMEOUT_MS,
      isHeads: true,
      ...(options.advertise !== undefined && { advertise: options.advertise }),
      ...(kvReach !== undefined && { kvReach }),
    },
    ...(options.onRankLog && { onLog: options.onRankLog }),
  };
}

/** Where the head listens, and what proves that one may come. */
type HeadsPlace = Pick<ControlPortOptions, 'host' | 'port' | 'secret' | 'tls'>;

/** Ranks elsewhere learn why the job they joined doesn't begin. */
function tellAll(links: readonly ControlLink[], error: unknown): void {
  if (!(error instanceof EngineError)) return;
  for (const link of links) if (link.isOpen) link.send({ type: 'failed', error: remoteErrorOf(error) });
}

/** What the head's folder has of what ranks elsewhere will hold: read beside their loading. */
function expertTableOf(options: JobOptions, ended: AbortSignal): Promise<ExpertTable> {
  const { config, spec, placement, numLocalRanks } = options;
  const isComplete = config.load_balance.enabled || config.comm.on_peer_loss === 'recover';
  const signal = options.signal === undefined ? ended : AbortSignal.any([options.signal, ended]);
  const table = readExpertTable({ modelDir: config.model, spec, placement, numLocalRanks, isComplete, signal });
  table.catch(() => undefined); // the job may fail first
  return table;
}

/** Says what is waited for, where it takes long. */
function withPatience<T>(table: Promise<T>, { config, onNotice }: JobOptions): Promise<T> {
  const text = `comparing the experts of ranks elsewhere with those of ${config.model}; from now on they are known`;
  const timer = setTimeout(() => onNotice?.(text), PATIENCE_MS);
  return table.finally(() => clearTimeout(timer));
}

/** What every rank is told. */
export function rankJobOf(options: JobOptions): RankJob {
  const {
    config,
    spec,
    limits,
    placement,
    plugins = [],
    gate = null,
    codecs = [],
    numLocalRanks,
    numExternalRanks = 0,
    onTimeline,
  } = options;
  const told = {
    model: config.model,
    spec,
    modelOverrides: config.model_overrides,
    plugins,
    gate,
    codecs,
    isOneFolder: numExternalRanks === 0,
    backend: config.backend,
    webgpuAdapter: config.webgpu.adapter,
    residence: {
      compute: config.compute,
      experts: config.experts.resident,
      dense: config.dense.resident,
      overrides: overridesOf(config.resident_overrides),
      kv: config.engine.kv_dtype,
    },
    threads: config.parallel.threads,
    kernels: config.kernels,
    numRanks: numLocalRanks + numExternalRanks,
    replicaChoice: config.experts.replica_choice,
    tiers: tierWishOf(config),
    reduce: config.comm.reduce,
    wire: config.comm.wire,
    microBatches: config.comm.micro_batches,
    ioThread: config.comm.io_thread,
    numNodes: config.comm.num_nodes,
    trace: onTimeline !== undefined,
    mla: config.engine.mla,
    timeoutMs: config.comm.timeout_ms,
    onPeerLoss: config.comm.on_peer_loss,
    headGraceMs: config.parallel.head_grace_ms,
    blockSize: limits.blockSize,
    numKvBlocks: limits.numKvBlocks,
    numStates: numStatesOf(limits),
    maxNumBatchedTokens: limits.maxNumBatchedTokens,
    moves: moveLimitsOf(config, spec),
    kvBytesPerStep: config.comm.on_peer_loss === 'fail' ? 0 : kvSizesOf(config, spec).bytesPerStep,
    kvPort: hasKvDoors(config, placement.numRanks) ? config.cluster.kv_port : null,
    kvStore: kvStorePlanOf(config, spec, options.storeIdentity ?? null),
  };
  return { ...told, phy2log: placement.phy2log, digest: jobDigest(told) };
}

/** `work`, unless the job fails first: then the first cause is thrown. */
function firstOf<T>(work: Promise<T>, failure: Promise<EngineError>): Promise<T> {
  return Promise.race([work, failure.then((error) => Promise.reject<T>(error))]);
}
