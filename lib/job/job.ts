/** The ranks of one job as the head sees them: fed with steps, watched, and ended. */
import type { ControlLink } from '../../comm/job/control_link.js';
import { Deadline } from '../../comm/base/deadline.js';
import { remoteErrorOf, type RemoteError } from '../../comm/base/errors.js';
import type { ControlMessage } from '../../comm/job/messages.js';
import type { Rendezvous } from '../../comm/job/rendezvous.js';
import { causeText } from '../../base/foreign_text.js';
import type { TimelineEvent } from '../metrics/timeline.js';
import type { ExpertDigests } from '../model/weights/expert_digests.js';
import { EngineError } from '../protocol/errors.js';
import { Gathering, type GatherOutcome } from './gathering.js';
import { accusation, disconnect, lateRanks, ownFailure, processExit } from './failure_report.js';
import type { LocalRanks } from './local_ranks.js';
import type { LossPolicy } from './loss_policy.js';
import { LossWatch } from './loss_watch.js';
import type { Decision } from './losses.js';
import type { LostRank, Members } from './members.js';
import type { EpochChange, StepOutcome, StepRunner } from './step_runner.js';
import type { RankExit } from './rank_process.js';
import { isOpen, Wishes, type Wish } from './wishes.js';
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

/** A step that began, until no result is missing. */
interface RunningStep {
  readonly step: number;
  readonly placementVersion: number;
  /** By rank. */
  readonly results: (StepResult | null)[];
  /** Ranks whose result is not there yet. */
  readonly missing: Set<number>;
  resolve(outcome: StepOutcome): void;
  reject(error: EngineError): void;
}

/** What a rank did when, in a step that ran with this version of the placement. */
export type OnTimeline = (rank: number, events: readonly TimelineEvent[], placementVersion: number) => void;

/** Whichever rank computes the same tokens next would fail alike: masking would give up one rank after another. */
const FAILS_ALIKE: ReadonlySet<string> = new Set(['NOT_FINITE', 'PLUGIN_FAILED', 'CODEC_FAILED']);

/** The head's link to a rank. */
export type RankLink = Pick<ControlLink, 'isOpen' | 'send' | 'onMessage' | 'closed' | 'close'>;

/** Who wished for a change, until the epoch has begun that brings it. */
interface Wisher {
  readonly wish: Wish;
  readonly rank: number;
  resolve(): void;
  reject(error: EngineError): void;
}

/** What a running job is made of. */
export interface JobParts {
  readonly rendezvous: Pick<Rendezvous, 'close'>;
  readonly local: Pick<LocalRanks, 'exits' | 'kill' | 'close'>;
  /** Of the ranks that it begins with, by seat. */
  readonly links: readonly RankLink[];
  /** Of these too. */
  readonly reports: readonly LoadReport[];
  /** How many ranks it may come to have at once. Default: those that it begins with. */
  readonly numSeats?: number;
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

/** Runs steps on all ranks that are left, hears of losses, and ends the ranks in the end. */
export class Job implements StepRunner {
  readonly numSeats: number;
  readonly expertDigests: ExpertDigests;
  /** Settles with the first cause when the job ends otherwise than by {@link close}. */
  readonly failed: Promise<EngineError>;
  private readonly losses: LossWatch;
  private settleFailed!: (error: EngineError) => void;
  private readonly seats: (RankLink | null)[];
  private readonly wishes = new Wishes();
  private wishers: readonly Wisher[] = [];
  private readonly loaded: LoadReport[];
  private onNews: () => void = () => undefined;
  /** What nobody was told of yet. */
  private changes: readonly EpochChange[] = [];
  /** Steps that began, in their order: the ranks are at the first, or some of them already at the second. */
  private readonly running: RunningStep[] = [];
  /** Of the first of them. */
  private deadline: Deadline | null = null;
  /** While ranks take over experts. */
  private gathering: Gathering | null = null;
  /** The last step that began. */
  private lastStep = 0;
  /** Why no step can run any more. */
  private ended: EngineError | null = null;
  private closing: Promise<void> | null = null;

  /** A job whose ranks have joined, loaded and met: `startJob` makes one. */
  constructor(private readonly parts: JobParts) {
    const { links, local, onPeerLoss: policy, enterTimeoutMs } = parts;
    this.numSeats = parts.numSeats ?? links.length;
    this.seats = Array.from({ length: this.numSeats }, (_, seat) => links[seat] ?? null);
    this.loaded = [...parts.reports];
    this.expertDigests = parts.expertDigests ?? new Map<string, string>();
    this.failed = new Promise((resolve) => (this.settleFailed = resolve));
    const onDecision = (decision: Decision): void => this.goOn(decision);
    this.losses = new LossWatch({ numRanks: links.length, policy, enterTimeoutMs, onDecision });
    void this.losses.ended.then((error) => this.fail(error));
    links.forEach((link, rank) => this.listen(link, rank));
    for (const exit of local.exits) this.listenToExit(exit);
  }

  /** Of the current epoch. */
  get members(): Members {
    return this.losses.members;
  }

  /** What the ranks loaded that were the last ones on their seats, up to the highest one that was ever taken. */
  get reports(): readonly LoadReport[] {
    return this.loaded;
  }

  /** Calls `onNews` whenever there is something to settle or to change, also while no step runs. */
  watch(onNews: () => void): void {
    this.onNews = onNews;
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
   * Has a rank begin to leave, or go, or hold no experts any more, with the next epoch that can be planned; resolves when that has begun, at once where it is so already.
   * @throws EngineError RANK_LOST: it is not there any more; what ended the job
   */
  wish(wish: Exclude<Wish, 'joined'>, rank: number): Promise<void> {
    if (this.ended !== null) return Promise.reject(this.ended);
    if (!this.members.present.has(rank)) return Promise.reject(notThere(rank));
    this.wishes.add(wish, rank);
    if (!isOpen(wish, rank, this.members)) return Promise.resolve();
    const begun = new Promise<void>((resolve, reject) => {
      this.wishers = [...this.wishers, { wish, rank, resolve, reject }];
    });
    this.onNews();
    return handled(begun);
  }

  /** A rank on a free seat, which has loaded and is linked to all members, becomes one with the next epoch that can be planned. */
  takeIn(rank: number, link: RankLink, report: LoadReport): void {
    this.seats[rank] = link;
    // Where nobody ever sat, nothing was read.
    while (this.loaded.length < rank) this.loaded.push({ ...report, bytesRead: 0, headerBytesRead: 0, pid: 0 });
    this.loaded[rank] = report;
    this.listen(link, rank);
    this.wishes.add('joined', rank);
    this.onNews();
  }

  /** Begins the epoch that was planned, while no step runs. False: nothing is planned any more, or a loss comes first. */
  change(placement: ToldPlacement): boolean {
    const change = this.wishes.changeOf(this.members);
    if (change === null || this.running.length > 0 || !this.losses.plan(change)) return false;
    const { joined = [], left = [] } = change;
    this.tellLater({ joined, left });
    for (const rank of left) this.letGo(rank);
    this.declare(joined, placement);
    this.answer(
      (wisher) => !isOpen(wisher.wish, wisher.rank, this.members),
      (wisher) => wisher.resolve(),
    );
    return true;
  }

  /**
   * Runs one step on all ranks that are left, behind those that run. Rejects with the first cause when the job ends because one fails, is lost or takes
   * too long, and with CLOSED when the job is closed; nobody needs to hear of that for each step.
   */
  step(plans: readonly StepPlan[]): Promise<StepOutcome> {
    if (this.ended !== null) return handled(Promise.reject(this.ended));
    const { step, epoch, placementVersion } = plans[0]!;
    const { members } = this;
    if (epoch !== members.epoch) return Promise.resolve({ kind: 'abandoned' }); // before it began
    this.lastStep = step;
    // A promise of its own for each step: racing against one that outlives it would keep every step's results alive.
    const outcome = new Promise<StepOutcome>((resolve, reject) => {
      const progress = { results: plans.map(() => null), missing: new Set(members.present) };
      this.running.push({ step, placementVersion, ...progress, resolve, reject });
    });
    this.deadline ??= this.stepDeadline();
    try {
      for (const rank of members.present) this.send(rank, { kind: 'step', plan: plans[rank]! });
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

  /** Tells every rank that is left, before its next step; false where that epoch is over, or the job: then nobody was told. */
  move(move: MoveOrder, epoch: number): boolean {
    if (this.ended !== null || epoch !== this.members.epoch) return false;
    this.sendAll({ kind: 'move', move });
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
    this.sendAll({ kind: 'gather', version });
    return this.gathering.outcome;
  }

  /** What nobody holds any more on a rank. */
  free(rank: number, order: FreeOrder): void {
    if (this.members.present.has(rank)) this.send(rank, { kind: 'free', ...order });
  }

  /** Ends all ranks. Idempotent. */
  async close(): Promise<void> {
    await this.end(new EngineError('CLOSED', 'the job was closed; start another'));
  }

  /** A rank that was lost must not come back: a process of this machine is killed, one elsewhere learns why it is out. */
  private cutOff({ rank, error }: LostRank): void {
    const link = this.seats[rank]!;
    if (link.isOpen) link.send({ type: 'failed', error: remoteErrorOf(error) });
    void link.close();
    this.parts.local.kill(rank);
    this.leaveSeat(rank);
    this.answer(
      (wisher) => wisher.rank === rank,
      (wisher) => wisher.reject(error),
    );
  }

  /** A rank that nobody needs any more. */
  private letGo(rank: number): void {
    const link = this.seats[rank]!;
    if (link.isOpen) link.send({ type: 'shutdown', reason: `rank ${rank} left the job, as it was to` });
    this.leaveSeat(rank);
  }

  /** What comes of the one who sat there means nothing from now on: somebody else may take the seat. */
  private leaveSeat(rank: number): void {
    this.seats[rank] = null;
    this.wishes.forget(rank);
  }

  private answer(which: (wisher: Wisher) => boolean, how: (wisher: Wisher) => void): void {
    const answered = this.wishers.filter(which);
    this.wishers = this.wishers.filter((wisher) => !answered.includes(wisher));
    answered.forEach(how);
  }

  /** Nothing of the running step counts, and whoever is left goes on in a new epoch. */
  private goOn({ lost, end }: Decision): void {
    for (const each of lost) this.cutOff(each);
    if (end !== null) return;
    const abandoned = this.takeRunning();
    const abandonedStep = abandoned[0]?.step ?? null;
    this.gathering?.abandon();
    for (const each of abandoned) each.resolve({ kind: 'abandoned' });
    this.tellLater({ lost, abandonedStep });
    this.declare();
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

  private sendAll(body: HeadToRank): void {
    for (const rank of this.members.present) this.send(rank, body);
  }

  private send(rank: number, body: HeadToRank): void {
    const link = this.seats[rank]!;
    if (link.isOpen) link.send({ type: 'job', body });
  }

  private listen(link: RankLink, rank: number): void {
    const sitsThere = (): boolean => this.seats[rank] === link;
    link.onMessage((message) => {
      if (sitsThere()) this.onMessage(rank, message);
    });
    void link.closed.then((why) => {
      const how = why.kind === 'lost' ? why.why : 'closed';
      if (!sitsThere()) return;
      if (this.members.present.has(rank)) this.losses.report(disconnect(rank, how, this.when(rank)));
      else this.leaveSeat(rank); // before it joined
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
    if (message.type === 'failed') return this.onFailed(rank, message.error);
    if (message.type !== 'job') return;
    const body = message.body as RankToHead;
    if (body.kind === 'result') this.onResult(rank, body.result);
    else if (body.kind === 'entered') this.losses.entered(rank, body.epoch);
    else if (body.kind === 'gathered') this.gathering?.hear(rank, body);
    else if (body.kind === 'stuck' && body.epoch === this.members.epoch) this.accuse(rank, body.error);
  }

  private onResult(rank: number, result: StepResult): void {
    const running = this.running.find(({ step }) => step === result.step);
    if (running === undefined) return; // of a step that was abandoned
    running.results[rank] = result;
    running.missing.delete(rank);
    const { timeline, moved } = result;
    if (timeline !== undefined) {
      this.parts.onTimeline?.(rank, [...timeline, ...(moved?.timeline ?? [])], running.placementVersion);
    }
    if (running.missing.size > 0) return;
    // Every rank sends its results in order: this is the first step.
    this.running.shift();
    running.resolve({ kind: 'done', results: running.results });
    this.deadline?.cancel();
    this.deadline = this.running.length === 0 ? null : this.stepDeadline();
  }

  private stepDeadline(): Deadline {
    return new Deadline(this.parts.stepTimeoutMs, () => this.accuseLate());
  }

  /** Steps that won't end by themselves any more. */
  private takeRunning(): RunningStep[] {
    this.deadline?.cancel();
    this.deadline = null;
    return this.running.splice(0);
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

  private accuseLate(): void {
    const { missing, step } = this.running[0]!;
    const note = ' (comm.timeout_ms for each layer)';
    this.losses.report(lateRanks(missing, `finish step ${step}`, this.parts.stepTimeoutMs, note));
  }

  /** The step that a rank is at: the first that it hasn't answered. */
  private when(rank: number): string {
    const step = this.running.find(({ missing }) => missing.has(rank))?.step ?? this.lastStep;
    return step === 0 ? ' before the first step' : ` in step ${step}`;
  }

  /** Ends the job, and then settles {@link failed}. */
  private fail(error: EngineError): void {
    void this.end(error).then(() => this.settleFailed(error));
  }

  private end(why: EngineError): Promise<void> {
    this.ended ??= why;
    for (const each of this.takeRunning()) each.reject(why);
    this.gathering?.fail(why);
    this.answer(
      () => true,
      (wisher) => wisher.reject(why),
    );
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
    for (const link of this.seats) if (link?.isOpen === true) link.send(last);
    // Local ranks first: those that end by themselves close their links without a reset.
    await local.close({ gracefully });
    await rendezvous.close();
  }
}

const isLossAlone = ({ joined, left, lost }: EpochChange): boolean =>
  lost.length > 0 && joined.length === 0 && left.length === 0;

const notThere = (rank: number): EngineError =>
  new EngineError('RANK_LOST', `rank ${rank} is no member of the job; look at which ranks it has`, { rank });

/** Whoever began several steps hears of the end from the first. */
function handled<T>(outcome: Promise<T>): Promise<T> {
  outcome.catch(() => undefined);
  return outcome;
}
