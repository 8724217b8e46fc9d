/** A job whose head is gone, taken over by another one: its ranks come back with all that they hold. Why: docs/decisions/elastic.md#a-head-is-one-of-several-in-a-row */
import { CommError } from '../../../comm/base/errors.js';
import { Reunion, type ReturnedRank } from '../../../comm/job/reunion.js';
import { asRank } from '../../../base/ids.js';
import type { Placement } from '../../../experts/placement/placement.js';
import { ConfigError } from '../../config/errors.js';
import { UNTRIED } from '../../kernels/kernel_trial.js';
import { backendOf } from '../../model/weights/residence.js';
import { EngineError } from '../../protocol/errors.js';
import type { RankJob } from '../../protocol/rank_job.js';
import { returningRank, type ReturningRank } from '../../protocol/standing.js';
import type { LoadReport } from '../../protocol/step_plan.js';
import { devicesFor, kernelsFor } from '../../rank/rank_place.js';
import { localSeats } from '../../rank/local_seat.js';
import { Job } from '../job.js';
import { LocalRanks, type LocalRanksOrders } from '../local_ranks.js';
import type { JobOptions } from './job_options.js';
import { compareExperts, readExpertTable } from './expert_table.js';
import { newcomersOf, othersMayCome } from './open_door.js';
import { lastMembers, resumedFrom, type Resumed } from './returned_ranks.js';
import { localOrders, rankJobOf, timesOf } from './start_job.js';
import { readTls } from './tls_files.js';

/** How long the first rank is waited for, and others without news: a rank looks for its head several times a second. */
const FIRST_MS = 60_000;
const QUIET_MS = 3000;

/** A job that goes on, and where its experts are. */
export interface ResumedJob {
  readonly job: Job;
  readonly placement: Placement;
}

/** Who is back, and what that comes to. */
interface Back extends Resumed {
  readonly ranks: readonly (ReturnedRank & { readonly said: ReturningRank })[];
}

/**
 * Waits where the head was for its ranks, and goes on with those that come.
 * @throws EngineError RANK_LOST where none comes, or one is missing that the job can't do without; CommError ADDRESS_IN_USE: there is a head; ConfigError
 */
export async function resumeJob(options: JobOptions): Promise<ResumedJob> {
  const { config, placement, listen, secret, signal } = options;
  if (listen === undefined || secret === undefined) {
    throw new ConfigError('MISSING_KEY', 'to take ranks back, address and secret of their head are needed; give both');
  }
  const told = rankJobOf(options);
  const tls = await readTls(config.comm.tls);
  const reunion = await Reunion.listen({
    ...{ ...listen, secret, tls, size: placement.numRanks },
    check: (rank, holds) => checkReturning(rank, returningRank(holds), told, placement),
    ...(options.onRefused && { onRefused: options.onRefused }),
  });
  try {
    options.onListening?.({ host: listen.host, port: reunion.port });
    const machine = await machineOf(options); // takes time, in which they may come
    await gather(reunion, Math.min(options.joinTimeoutMs ?? FIRST_MS, told.headGraceMs + QUIET_MS), signal);
    const ranks = reunion.settle().map((each) => ({ ...each, said: returningRank(each.holds) }));
    const back = { ranks, ...resumedFrom(ranks, placement) };
    checkPolicy(back, options);
    const place = { ...listen, port: reunion.port, secret, tls };
    return {
      job: await jobOf(reunion, back, { told, orders: localOrders(options, place, machine) }, options),
      placement: back.placement,
    };
  } catch (error) {
    await reunion.close();
    throw error;
  }
}

/** Until all are there who were members last, or nobody comes any more. */
async function gather(reunion: Reunion, firstMs: number, signal: AbortSignal | undefined): Promise<void> {
  const isThere = (rank: number): boolean => reunion.ranks.some((each) => each.rank === rank);
  const isComplete = (): boolean => {
    const said = reunion.ranks.map(({ rank, holds }) => ({ rank, said: returningRank(holds) }));
    return said.length > 0 && lastMembers(said).every(isThere);
  };
  while (!isComplete()) {
    const isNews = await reunion.news(reunion.ranks.length === 0 ? firstMs : QUIET_MS, signal);
    if (isNews) continue;
    if (reunion.ranks.length > 0) return;
    const what = `no rank came back to port ${reunion.port} within ${firstMs} ms`;
    throw new EngineError('RANK_LOST', `${what}; their grace (parallel.head_grace_ms) is over: start without --resume`);
  }
}

/** @throws CommError INVALID_ARGUMENT: it runs another job than this head would */
function checkReturning(rank: number, said: ReturningRank, told: RankJob, placement: Placement): void {
  const { phy2log, slotsPerRank, numExperts } = placement;
  const isSame = said.digest === told.digest && said.slots.length === phy2log.length;
  const isRow = (row: Int32Array, layer: number): boolean =>
    row.length === slotsPerRank && row.every((expert) => expert >= -1 && expert < numExperts[layer]!);
  if (isSame && said.slots.every(isRow)) return;
  const what = `rank ${rank} runs a job of another configuration than this head was given`;
  throw new CommError('INVALID_ARGUMENT', `${what}; give --resume what the head before had`, { rank: asRank(rank) });
}

/** @throws EngineError RANK_LOST: a rank is missing, and losses end the job */
function checkPolicy({ ranks, members }: Back, { config }: JobOptions): void {
  const wanted = lastMembers(ranks);
  const missing = wanted.filter((rank) => !members.present.has(rank));
  if (missing.length === 0 || config.comm.on_peer_loss !== 'fail') return;
  const what = `rank ${missing.join(', ')} did not come back`;
  throw new EngineError('RANK_LOST', `${what}; start without --resume, or with comm.on_peer_loss=recover next time`, {
    rank: missing[0]!,
  });
}

/** What ranks may use that are started here later. */
async function machineOf(options: JobOptions): Promise<LocalRanksOrders['places']> {
  const { config, numLocalRanks, world } = options;
  const backend = backendOf(config.backend, config);
  const devices = await devicesFor(backend);
  const kernels = numLocalRanks === 0 ? UNTRIED : await kernelsFor(backend, config.compute, options);
  return localSeats(Math.max(1, numLocalRanks), world).map((seat) => ({ seat, devices, kernels }));
}

async function jobOf(
  reunion: Reunion,
  back: Back,
  { told, orders }: { readonly told: RankJob; readonly orders: LocalRanksOrders },
  options: JobOptions,
): Promise<Job> {
  const { config, placement } = options;
  const { numRanks } = placement;
  const local = new LocalRanks([]); // those of the head before are nobody's children
  local.begin(orders);
  const reports = seatedReports(back);
  const expertDigests = await provenExperts(reports, options);
  const agreed = { fma: reports.some((report) => report.kernels?.fma === true) };
  const first = { job: told, agreed, reports, expertDigests };
  return new Job({
    ...{ rendezvous: reunion, local, reports, expertDigests, ...timesOf(options) },
    links: Array.from({ length: numRanks }, (_, rank) => back.ranks.find((each) => each.rank === rank)?.link ?? null),
    numSeats: numRanks,
    resumed: { members: back.members, placement: back.placement },
    ...(othersMayCome(options) && { newcomers: newcomersOf(options, reunion, first) }),
    onPeerLoss: config.comm.on_peer_loss,
    plugins: options.plugins?.map(({ path }) => path) ?? [],
    onTimeline: options.onTimeline,
  });
}

/** What experts are, where a rank that came back has to prove its own: it may read others later. @throws EngineError RANKS_DIFFER */
async function provenExperts(reports: readonly LoadReport[], options: JobOptions): Promise<Map<string, string>> {
  if (reports.every(({ expertDigests }) => expertDigests === undefined)) return new Map();
  const { config, spec, placement, numLocalRanks, signal } = options;
  const folder = { modelDir: config.model, spec, placement, numLocalRanks, signal };
  const table = await readExpertTable({ ...folder, isComplete: true });
  compareExperts(table, reports, options);
  return new Map(table.digests);
}

/** By seat; where nobody sits, nothing was read. */
function seatedReports({ ranks }: Back): LoadReport[] {
  const highest = Math.max(...ranks.map(({ rank }) => rank));
  const [first] = ranks;
  return Array.from({ length: highest + 1 }, (_, rank) => {
    const own = ranks.find((each) => each.rank === rank);
    return own?.said.report ?? { ...first!.said.report, bytesRead: 0, headerBytesRead: 0, pid: 0, kvDoor: null };
  });
}
