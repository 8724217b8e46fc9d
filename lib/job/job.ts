/** The ranks of one job as the head sees them: fed with steps, watched, and ended. */
import type { ControlLink } from '../../comm/job/control_link.js';
import type { Address } from '../../comm/ws/door/dial.js';
import type { Candidate } from '../../comm/job/door.js';
import { remoteErrorOf, type RemoteError } from '../../comm/base/errors.js';
import type { ControlMessage } from '../../comm/job/messages.js';
import type { Rendezvous } from '../../comm/job/rendezvous.js';
import { causeText } from '../../base/foreign_text.js';
import type { TimelineEvent } from '../metrics/timeline.js';
import type { ExpertDigests } from '../model/weights/expert_digests.js';
import { EngineError } from '../protocol/errors.js';
import type { HandoverOrder } from '../protocol/handover.js';
import type { StoreOrder } from '../protocol/kv_store.js';
import { Gathering, type GatherOutcome } from './gathering.js';
import { accusation, disconnect, endElsewhere, lateRanks, ownFailure, processExit } from './failure_report.js';
import type { LocalNewcomer, LocalRanks } from './local_ranks.js';
import type { LossPolicy } from '../config/loss_policy.js';
import { LossWatch } from './loss_watch.js';
import type { Decision } from './losses.js';
import type { LostRank, Members } from './members.js';
import { Newcomers, type NewcomersParts } from './newcomers.js';
import { RunningSteps, type LateStep } from './running_steps.js';
import type {
  EpochChange,
  HandoverRunner,
  OnPulled,
  StepOutcome,
  StepRunner,
  StoreRunner,
  StoreWatch,
} from './step_runner.js';
import type { RankExit } from './rank_process.js';
import { Wishes, type Wish } from './wishes.js';
import type {
  FreeOrder,
  HeadToRank,
  LoadReport,
  MoveOrder,
  RankToHead,
  StepPlan,
  StepResult,
  ToldPlacement,
} from '../protocol/step_plan.js';

/** What a rank did when, in a step that ran with this version of the placement. */
export type OnTimeline = (
  rank: number,
  events: readonly TimelineEvent[],
  placementVersion: number,
  rankLoad: StepResult['rankLoad'],
) => void;

/** Whichever rank computes the same tokens next would fail alike: masking would give up one rank after another. */
const FAILS_ALIKE: ReadonlySet<string> = new Set(['NOT_FINITE', 'PLUGIN_FAILED', 'CODEC_FAILED']);

/** The head's link to a rank. */
export type RankLink = Pick<ControlLink, 'isOpen' | 'send' | 'onMessage' | 'closed' | 'close'>;

/** Who sits on a seat: a member, or a candidate. */
interface Seated {
  readonly link: RankLink;
  /** Null: it runs elsewhere. */
  readonly process: Pick<LocalNewcomer, 'kill' | 'ended'> | null;
}

/** What a running job is made of. */
export interface JobParts {
  readonly rendezvous: Pick<Rendezvous, 'close'>;
  readonly local: Pick<LocalRanks, 'exits' | 'kill' | 'start' | 'ended' | 'close'>;
  /** Of the ranks that it begins with, by seat; null where nobody sits. */
  readonly links: readonly (RankLink | null)[];
  /** Ranks of another head, which are to enter this epoch with what they hold. Default: new ones, in the first epoch. */
  readonly resumed?: { readonly members: Members; readonly placement: ToldPlacement };
  /** Of these too. */
  readonly reports: readonly LoadReport[];
  /** How many ranks it may come to have at once. Default: those that it begins with. */
  readonly numSeats?: number;
  /** How others come later. Default: nobody does. */
  readonly newcomers?: NewcomersParts;
  readonly onPeerLoss: LossPolicy;
  /** Plug-ins that run in it, by the paths of their files. Default none. */
  readonly plugins?: readonly string[];
  readonly stepTimeoutMs: number;
  /** How long a rank may take to enter an epoch. */
  readonly enterTimeoutMs: number;
  /** What experts are, where ranks with other folders must prove theirs. Default: nobody must. */
  readonly expertDigests?: ExpertDigests;
  /** Told what a rank did when, after each step. */
  readonly onTimeline?: OnTimeline | undefined;
}

/** Runs steps on all members, hears of losses, lets others come and go, and ends the ranks in the end. */
export class Job implements StepRunner, HandoverRunner, StoreRunner {
  readonly numSeats: number;
  readonly expertDigests: ExpertDigests;
  /** Settles with the first cause when the job ends otherwise than by {@link close}. */
  readonly failed: Promise<EngineError>;
  private readonly losses: LossWatch;
  private settleFailed!: (error: EngineError) => void;
  /** Null where nobody sits. */
  private readonly seats: (Seated | null)[];
  private readonly loaded: LoadReport[];
  private readonly wishes = new Wishes();
  /** Null: nobody comes later. */
  private readonly newcomers: Newcomers | null;
  private onNews: () => void = () => undefined;
  private onPulled: OnPulled = () => undefined;
  /** Null: nobody listened yet. */
  private storeWatch: StoreWatch | null = null;
  /** What members told of their tiers before anybody listened. */
  private readonly storesTold: ((watch: StoreWatch) => void)[] = [];
  private onLeave: (rank: number) => void = (rank) => void this.askedToLeave.push(rank);
  /** What nobody was told of yet. */
  private changes: readonly EpochChange[] = [];
  private readonly running: RunningSteps;
  /** While ranks take over experts. */
  private gathering: Gathering | null = null;
  /** Why no step can run any more. */
  private ended: EngineError | null = null;
  private closing: Promise<void> | null = null;
  private hasGraceEnded = false;
  /** Members that asked to leave before anybody listened. */
  private readonly askedToLeave: number[] = [];

  /** A job whose ranks have joined, loaded and met: `startJob` makes one. */
  constructor(private readonly parts: JobParts) {
    const { links, local, newcomers, onPeerLoss: policy, enterTimeoutMs } = parts;
    const { exits } = local;
    this.numSeats = parts.numSeats ?? links.length;
    this.seats = new Array<Seated | null>(this.numSeats).fill(null);
    this.loaded = [...parts.reports];
    this.expertDigests = parts.expertDigests ?? new Map<string, string>();
    this.failed = new Promise((resolve) => (this.settleFailed = resolve));
    const onDecision = (decision: Decision): void => this.goOn(decision);
    const first = parts.resumed?.members ?? links.length;
    this.losses = new LossWatch({ first, policy, enterTimeoutMs, onDecision });
    void this.losses.ended.then((error) => this.fail(error));
    this.running = new RunningSteps({
      stepMs: parts.stepTimeoutMs,
      // A rank that is missed by mistake costs an epoch there, and elsewhere the job.
      tailMs: policy === 'fail' ? null : enterTimeoutMs,
      onLate: (late) => this.accuseLate(late),
    });
    links.forEach((link, rank) => {
      const process = { kill: () => local.kill(rank), ended: () => local.ended(rank) };
      if (link !== null) this.seat(rank, { link, process: rank < exits.length ? process : null });
    });
    for (const exit of exits) this.listenToExit(exit);
    this.newcomers = newcomers === undefined ? null : new Newcomers(newcomers, this.host());
    if (parts.resumed !== undefined) this.declare([...this.members.present], parts.resumed.placement);
  }

  /** Of the current epoch. */
  get members(): Members {
    return this.losses.members;
  }

  /** Seats of ranks that are ready to be members, and kept for losses. */
  get spares(): readonly number[] {
    return this.newcomers?.spares ?? [];
  }

  /** What the ranks loaded that were the last ones on their seats, up to the highest one that was ever taken. */
  get reports(): readonly LoadReport[] {
    return this.loaded;
  }

  /** Calls `onNews` whenever there is something to settle or to change, also while no step runs. */
  watch(onNews: () => void): void {
    this.onNews = onNews;
  }

  /** Calls `onLeave` when a member asks to leave, and for those that did before. Until then they stay. */
  watchLeaving(onLeave: (rank: number) => void): void {
    this.onLeave = onLeave;
    for (const rank of this.askedToLeave.splice(0)) onLeave(rank);
  }

  /**
   * Waits until every loss so far is dealt with and the members can run a step. Returns the epochs since the last call, in their order.
   * Rejects when the job has ended.
   */
  async settled(): Promise<readonly EpochChange[]> {
    await this.losses.settled();
    if (this.ended !== null) throw this.ended;
    const { changes } = this;
    this.changes = [];
    return changes;
  }

  get isChanging(): boolean {
    return this.wishes.changeOf(this.members) !== null;
  }

  /**
   * One member more: a spare, or a rank that is started here. Resolves with its seat when its epoch has begun.
   * @throws EngineError INVALID_REQUEST: no seat is free, or nobody can come to this job; RANK_FAILED: why it won't come; what ended the job; the
   *   reason of `signal`, when that is aborted before it joins
   */
  async recruit(signal?: AbortSignal): Promise<number> {
    if (this.ended !== null) throw this.ended;
    if (this.newcomers !== null) return this.newcomers.recruit(signal);
    throw new EngineError('INVALID_REQUEST', 'nobody can join this job; start it with a higher parallel.max_ranks');
  }

  /** Whether a member gives its experts and sequences away, to go then. Resolves when the epoch has begun that says so, or it is gone. Rejects with what ended the job. */
  setLeaving(rank: number, isLeaving: boolean): Promise<void> {
    return this.wish(isLeaving ? 'leaving' : 'staying', rank);
  }

  /** Tells a member that asked to leave why it has to stay. */
  keep(rank: number, reason: string): void {
    if (this.members.present.has(rank)) this.send(rank, { kind: 'stay', reason });
  }

  /** Whether a member holds no experts, because it fell behind. As {@link setLeaving}. */
  setDemoted(rank: number, isDemoted: boolean): Promise<void> {
    return this.wish(isDemoted ? 'demoted' : 'promoted', rank);
  }

  /**
   * Goes on without a member that nobody needs any more, unless it is the last one. Resolves when it is gone.
   * @throws EngineError RANK_LOST: another one was lost before that, so that this one may be needed, and stays; what ended the job
   */
  async retire(rank: number): Promise<void> {
    const seated = this.seats[rank];
    await this.wish('left', rank);
    if (seated && this.seats[rank] === seated) {
      const text = `another rank was lost before rank ${rank} could go, and it stays; ask again`;
      throw new EngineError('RANK_LOST', text, { rank });
    }
    await seated?.process?.ended();
    await seated?.link.closed;
  }

  /** Begins the epoch that was planned, while no step runs. False: nothing is planned any more, or a loss comes first. */
  change(placement: ToldPlacement): boolean {
    const change = this.wishes.changeOf(this.members);
    if (change === null || this.running.first !== null || !this.losses.plan(change)) return false;
    const { joined = [], left = [] } = change;
    this.tellLater({ joined, left });
    for (const rank of left) this.letGo(rank);
    this.newcomers?.want(-left.length);
    this.declare(joined, placement);
    this.wishes.enter(this.members);
    this.newcomers?.enter(joined);
    return true;
  }

  /**
   * Runs one step on all members, behind those that run. Rejects with the first cause when the job ends because one fails, is lost or takes
   * too long, and with CLOSED when the job is closed; nobody needs to hear of that for each step.
   */
  step(plans: readonly StepPlan[]): Promise<StepOutcome> {
    if (this.ended !== null) return handled(Promise.reject(this.ended));
    const { step, epoch } = plans[0]!;
    const { present, epoch: current } = this.members;
    if (epoch !== current) return Promise.resolve({ kind: 'abandoned' }); // before it began
    const outcome = this.running.begin(plans, present);
    try {
      for (const rank of present) this.send(rank, { kind: 'step', plan: plans[rank]! });
    } catch (error) {
      // Some ranks may have begun a step that others never hear of.
      this.fail(
        new EngineError('RANK_FAILED', `step ${step} can't be told (${causeText(error)}); start the job again`, {
          cause: error,
        }),
      );
    }
    return handled(outcome);
  }

  /** Tells every member, before its next step; false where that epoch is over, or the job: then nobody was told. */
  move(move: MoveOrder, epoch: number): boolean {
    if (this.ended !== null || epoch !== this.members.epoch) return false;
    for (const rank of this.members.present) this.send(rank, { kind: 'move', move });
    return true;
  }

  /** Until every member has what it takes over from disk, or says why not. One at a time. */
  gather(version: number, epoch: number): Promise<GatherOutcome> {
    if (this.ended !== null) return handled(Promise.reject(this.ended));
    const { members, parts } = this;
    if (epoch !== members.epoch) return Promise.resolve({ kind: 'abandoned' });
    const { enterTimeoutMs: timeoutMs } = parts;
    const onLate = (rank: number): void =>
      this.losses.report(lateRanks([rank], 'read an expert that it takes over', timeoutMs));
    this.gathering = new Gathering({ version, ranks: members.present, timeoutMs, onLate });
    for (const rank of members.present) this.send(rank, { kind: 'gather', version });
    return this.gathering.outcome;
  }

  /** Where a member lets ranks of other instances read; null: nobody sits there, or it has no door. */
  kvDoorOf(rank: number): Address | null {
    return this.members.present.has(rank) ? (this.loaded[rank]?.kvDoor ?? null) : null;
  }

  /** Tells a member what it does at once, beside its steps; false where it is none, or nothing runs any more. */
  handover(rank: number, order: HandoverOrder): boolean {
    if (this.ended !== null || !this.members.present.has(rank)) return false;
    this.send(rank, { kind: 'handover', order });
    return true;
  }

  /** Calls `onPulled` with what came of each pull that wasn't cancelled, while its rank lives. */
  watchPulls(onPulled: OnPulled): void {
    this.onPulled = onPulled;
  }

  /** Tells a member what it does with its tiers, beside its steps; false where it is none, or nothing runs any more. */
  store(rank: number, order: StoreOrder): boolean {
    if (this.ended !== null || !this.members.present.has(rank)) return false;
    this.send(rank, { kind: 'store', order });
    return true;
  }

  /** Calls `watch` with what members tell of their tiers, while they live. */
  watchStores(watch: StoreWatch): void {
    this.storeWatch = watch;
    for (const tell of this.storesTold.splice(0)) tell(watch);
  }

  /** What nobody holds any more on a rank. */
  free(rank: number, order: FreeOrder): void {
    if (this.members.present.has(rank)) this.send(rank, { kind: 'free', ...order });
  }

  /**
   * No head is to come after this one: ranks end with it, also where it is killed before it ends them (`parallel.head_grace_ms`). Those that ask to leave from
   * now on stay for what still runs: the signal that ends the head may have reached them all.
   */
  endGrace(): void {
    this.hasGraceEnded = true;
    for (const [rank, seated] of this.seats.entries()) if (seated !== null) this.send(rank, { kind: 'end_grace' });
  }

  /** Ends all ranks. Idempotent. */
  async close(): Promise<void> {
    await this.end(new EngineError('CLOSED', 'the job was closed; start another'));
  }

  /** Resolves when the next planned epoch has begun that brings it. What becomes of a rank that is gone is nobody's wish any more. */
  private async wish(wish: Exclude<Wish, 'joined'>, rank: number): Promise<void> {
    if (this.ended !== null) throw this.ended;
    const begun = this.wishes.add(wish, rank, this.members);
    if (this.isChanging) this.onNews();
    await begun.catch((error: unknown) => {
      if (this.ended !== null) throw error;
    });
  }

  private host(): ConstructorParameters<typeof Newcomers>[1] {
    return {
      numSeats: this.numSeats,
      local: this.parts.local,
      numMembers: () => this.members.present.size,
      numJoining: () => this.wishes.numJoining,
      sit: (candidate, report, newcomer) => this.sit(candidate, report, newcomer),
      takeIn: (rank) => {
        void this.wishes.add('joined', rank, this.members);
        this.onNews();
      },
    };
  }

  /** A candidate has its seat. */
  private sit(
    { rank, link }: Pick<Candidate, 'rank'> & { readonly link: RankLink },
    report: LoadReport,
    newcomer: LocalNewcomer | null,
  ): void {
    // Where nobody ever sat, nothing was read.
    while (this.loaded.length < rank)
      this.loaded.push({ ...report, bytesRead: 0, headerBytesRead: 0, pid: 0, kvDoor: null });
    this.loaded[rank] = report;
    this.seat(rank, { link, process: newcomer });
    if (newcomer !== null) this.listenToExit(newcomer.exit);
  }

  /** A rank that was lost must not come back: a process of this machine is killed, one elsewhere learns why it is out. */
  private cutOff({ rank, error }: LostRank): void {
    const { link, process } = this.seats[rank]!;
    if (link.isOpen) link.send({ type: 'failed', error: remoteErrorOf(error) });
    void link.close();
    process?.kill();
    this.leaveSeat(rank, error, true);
  }

  /** A rank that nobody needs any more. */
  private letGo(rank: number): void {
    const { link } = this.seats[rank]!;
    const reason = `rank ${rank} has left the job, as it was to`;
    if (link.isOpen) link.send({ type: 'job', body: { kind: 'leave' } satisfies HeadToRank });
    void link.close();
    this.leaveSeat(rank, new EngineError('RANK_LOST', reason, { rank }), false);
  }

  /** What comes of the one who sat there means nothing from now on: somebody else may take the seat. */
  private leaveSeat(rank: number, why: EngineError, wasLost: boolean): void {
    const seated = this.seats[rank]!;
    this.seats[rank] = null;
    this.wishes.forget(rank, why);
    this.newcomers?.vacate(rank, why.reason, wasLost && seated.process !== null);
  }

  /** Nothing of the running step counts, and whoever is left goes on in a new epoch. */
  private goOn({ lost, end, wereLeaving }: Decision): void {
    for (const each of lost) this.cutOff(each);
    if (end !== null) return;
    this.gathering?.abandon();
    this.newcomers?.want(-wereLeaving);
    // Those that were about to go may be all that is left.
    this.wishes.refuse('left', new EngineError('RANK_LOST', 'a rank was lost before others could go; ask again'));
    this.tellLater({ lost, abandonedStep: this.running.abandon() });
    this.declare();
    this.newcomers?.enter([]);
    this.onNews();
  }

  /** Losses that nothing ran between are one change. */
  private tellLater(what: Partial<EpochChange>): void {
    const { members } = this;
    const nothing = { lost: [], joined: [], left: [], abandonedStep: null };
    const change: EpochChange = { epoch: members.epoch, members, ...nothing, ...what };
    const before = this.changes.at(-1);
    if (before === undefined || ![before, change].every(isLossAlone)) this.changes = [...this.changes, change];
    else {
      const { abandonedStep } = before;
      this.changes = [
        ...this.changes.slice(0, -1),
        { ...change, lost: [...before.lost, ...change.lost], abandonedStep },
      ];
    }
  }

  private declare(joined: readonly number[] = [], placement?: ToldPlacement): void {
    const { epoch, present } = this.members;
    const order = { kind: 'epoch', epoch, members: [...present] } as const;
    for (const rank of present) this.send(rank, joined.includes(rank) ? { ...order, placement: placement! } : order);
  }

  private send(rank: number, body: HeadToRank): void {
    const { link } = this.seats[rank]!;
    if (link.isOpen) link.send({ type: 'job', body });
  }

  private seat(rank: number, seated: Seated): void {
    const { link } = seated;
    this.seats[rank] = seated;
    const sitsThere = (): boolean => this.seats[rank] === seated;
    if (this.hasGraceEnded) this.send(rank, { kind: 'end_grace' });
    link.onMessage((message) => {
      if (sitsThere()) this.onMessage(rank, message);
    });
    void link.closed.then((why) => {
      if (!sitsThere()) return;
      const how = why.kind === 'lost' ? why.why : 'closed';
      const report = disconnect(rank, how, this.when(rank), seated.process !== null);
      if (this.members.present.has(rank)) return this.losses.report(report);
      seated.process?.kill(); // it may be stopped
      this.leaveSeat(rank, report.error, true); // before it was a member
      this.newcomers?.enter([]);
    });
  }

  /** Of a process that sits on a seat now, or of the one that has all. */
  private listenToExit(exit: Promise<RankExit>): void {
    const sitting = [...this.seats];
    void exit.then((end) => {
      if (end.rank !== null && this.seats[end.rank] !== sitting[end.rank]) return;
      this.losses.report(processExit(end, [...this.members.present]));
    });
  }

  private onMessage(rank: number, message: ControlMessage): void {
    const { type } = message;
    if (type === 'linked' || type === 'unlinked') return this.newcomers?.hear(rank, message);
    const isMember = this.members.present.has(rank);
    if (type === 'failed' && isMember) return this.onFailed(rank, message.error);
    if (type !== 'job') return;
    const body = message.body as RankToHead;
    if (body.kind === 'result') this.onResult(rank, body.result);
    else if (body.kind === 'entered') this.losses.entered(rank, body.epoch);
    else if (body.kind === 'gathered') this.gathering?.hear(rank, body);
    else if (body.kind === 'pulled' && isMember) this.onPulled(rank, body);
    else if (body.kind === 'lifted' && isMember) this.tellStores((watch) => watch.onLifted(rank, body));
    else if (body.kind === 'store' && isMember) this.tellStores((watch) => watch.onNews(rank, body));
    else if (body.kind === 'neighbour_ended' && isMember) this.losses.report(endElsewhere(body));
    else if (body.kind === 'leave') this.onLeaveAsked(rank, isMember);
    else if (body.kind === 'stuck' && body.epoch === this.members.epoch) this.accuse(rank, body.error);
  }

  private tellStores(tell: (watch: StoreWatch) => void): void {
    if (this.storeWatch === null) this.storesTold.push(tell);
    else tell(this.storeWatch);
  }

  private onLeaveAsked(rank: number, isMember: boolean): void {
    if (this.hasGraceEnded) return;
    if (isMember) return this.onLeave(rank);
    this.letGo(rank);
    this.newcomers?.enter([]);
  }

  private onResult(rank: number, result: StepResult): void {
    const running = this.running.take(rank, result);
    if (running === null) return; // of a step that was abandoned
    const { timeline, moved } = result;
    if (timeline !== undefined) {
      const events = [...timeline, ...(moved?.timeline ?? [])];
      this.parts.onTimeline?.(rank, events, running.placementVersion, result.rankLoad);
    }
    if (running.missing.size > 0) return;
    // Every rank sends its results in order: this is the first step.
    this.running.finish();
  }

  /** A rank's complaint about another one: where losses are masked, it waits for the head's word. */
  private accuse(rank: number, error: RemoteError): void {
    this.losses.report(accusation(rank, error, this.when(rank), this.parts.onPeerLoss));
  }

  /** A rank that ended for another one is a witness, not the cause; where losses are masked, it would not have ended for that. */
  private onFailed(rank: number, error: RemoteError): void {
    if (this.ended !== null) return;
    const isMasked = this.parts.onPeerLoss !== 'fail';
    if (!isMasked && error.blames.some((blamed) => blamed !== rank)) return this.accuse(rank, error);
    const report = ownFailure(rank, error, this.when(rank), this.parts.plugins);
    if (isMasked && FAILS_ALIKE.has(error.code)) this.fail(report.error);
    else this.losses.report(report);
  }

  private accuseLate({ step, missing, afterMs, since }: LateStep): void {
    const note = since === 'others' ? ' after others had' : ' (comm.timeout_ms for each layer)';
    this.losses.report(lateRanks(missing, `finish step ${step}`, afterMs, note));
  }

  /** The step that a rank is at. */
  private when(rank: number): string {
    const step = this.running.stepOf(rank);
    return step === 0 ? ' before the first step' : ` in step ${step}`;
  }

  /** Ends the job, and then settles {@link failed}. */
  private fail(error: EngineError): void {
    void this.end(error).then(() => this.settleFailed(error));
  }

  private end(why: EngineError): Promise<void> {
    this.ended ??= why;
    this.gathering?.fail(why);
    this.running.fail(why);
    this.wishes.fail(why);
    this.newcomers?.close(why);
    this.closing ??= this.shutDown(why);
    return this.closing;
  }

  /** Ranks elsewhere learn whether the job ended well: their exit code says it. */
  private async shutDown(why: EngineError): Promise<void> {
    const { local, rendezvous } = this.parts;
    this.losses.close();
    const gracefully = why.code === 'CLOSED';
    const last: ControlMessage = gracefully
      ? { type: 'shutdown', reason: why.message }
      : { type: 'failed', error: remoteErrorOf(why) };
    for (const seated of this.seats) if (seated?.link.isOpen === true) seated.link.send(last);
    // Local ranks first: those that end by themselves close their links without a reset.
    await local.close({ gracefully });
    await rendezvous.close();
  }
}

const isLossAlone = ({ joined, left, lost }: EpochChange): boolean =>
  lost.length > 0 && joined.length === 0 && left.length === 0;

/** Whoever began several steps hears of the end from the first. */
function handled<T>(outcome: Promise<T>): Promise<T> {
  outcome.catch(() => undefined);
  return outcome;
}
