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
import { accusation, disconnect, lateRanks, ownFailure } from './failure_report.js';
import type { LocalRanks } from './local_ranks.js';
import type { LossPolicy } from './loss_policy.js';
import { LossWatch } from './loss_watch.js';
import type { Decision } from './losses.js';
import type { LostRank } from './members.js';
import type { EpochChange, StepOutcome, StepRunner } from './step_runner.js';
import type {
  FreeOrder,
  HeadToRank,
  LoadReport,
  MoveOrder,
  RankToHead,
  StepPlan,
  StepResult,
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

/** What a running job is made of. */
export interface JobParts {
  readonly rendezvous: Pick<Rendezvous, 'close'>;
  readonly local: Pick<LocalRanks, 'exits' | 'kill' | 'close'>;
  /** By rank. */
  readonly links: readonly Pick<ControlLink, 'isOpen' | 'send' | 'onMessage' | 'closed' | 'close'>[];
  readonly reports: readonly LoadReport[];
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
  readonly reports: readonly LoadReport[];
  readonly expertDigests: ExpertDigests;
  /** Settles with the first cause when the job ends otherwise than by {@link close}. */
  readonly failed: Promise<EngineError>;
  private readonly losses: LossWatch;
  private settleFailed!: (error: EngineError) => void;
  private onEpoch: () => void = () => undefined;
  private numLossesTold = 0;
  private abandonedStep: number | null = null;
  /** Steps that began, in their order: the ranks are at the first, or some of them already at the second. */
  private readonly running: RunningStep[] = [];
  /** Of the first of them. */
  private deadline: Deadline | null = null;
  /** The last step that began. */
  private lastStep = 0;
  /** Why no step can run any more. */
  private ended: EngineError | null = null;
  private closing: Promise<void> | null = null;

  /** A job whose ranks have joined, loaded and met: `startJob` makes one. */
  constructor(private readonly parts: JobParts) {
    const { links, local, onPeerLoss: policy, enterTimeoutMs } = parts;
    this.reports = parts.reports;
    this.expertDigests = parts.expertDigests ?? new Map<string, string>();
    this.failed = new Promise((resolve) => (this.settleFailed = resolve));
    const onDecision = (decision: Decision): void => this.goOn(decision);
    this.losses = new LossWatch({ numRanks: links.length, exits: local.exits, policy, enterTimeoutMs, onDecision });
    void this.losses.ended.then((error) => this.fail(error));
    links.forEach((link, rank) => this.listen(link, rank));
  }

  get numRanks(): number {
    return this.parts.links.length;
  }

  /** Calls `onEpoch` whenever an epoch is declared, also while no step runs. */
  watch(onEpoch: () => void): void {
    this.onEpoch = onEpoch;
  }

  /**
   * Waits until every loss so far is dealt with and the ranks that are left can run a step. Returns what changed since the last call, or null.
   * Rejects when the job has ended.
   */
  async settled(): Promise<EpochChange | null> {
    await this.losses.settled();
    if (this.ended !== null) throw this.ended;
    return this.change();
  }

  /** What changed since the last call of this or of {@link settled}, or null. */
  change(): EpochChange | null {
    const { epoch, left } = this.losses.members;
    const lost = left.slice(this.numLossesTold);
    if (lost.length === 0) return null;
    const { abandonedStep } = this;
    this.numLossesTold = left.length;
    this.abandonedStep = null;
    return { epoch, lost, abandonedStep };
  }

  /**
   * Runs one step on all ranks that are left, behind those that run. Rejects with the first cause when the job ends because one fails, is lost or takes
   * too long, and with CLOSED when the job is closed; nobody needs to hear of that for each step.
   */
  step(plans: readonly StepPlan[]): Promise<StepOutcome> {
    if (this.ended !== null) return handled(Promise.reject(this.ended));
    const { step, epoch, placementVersion } = plans[0]!;
    const { members } = this.losses;
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
    if (this.ended !== null || epoch !== this.losses.members.epoch) return false;
    this.sendAll({ kind: 'move', move });
    return true;
  }

  /** What nobody holds any more on a rank. */
  free(rank: number, order: FreeOrder): void {
    if (this.losses.members.present.has(rank)) this.send(rank, { kind: 'free', ...order });
  }

  /** Ends all ranks. Idempotent. */
  async close(): Promise<void> {
    await this.end(new EngineError('CLOSED', 'the job was closed; start another'));
  }

  /** A rank that was lost must not come back: a process of this machine is killed, one elsewhere learns why it is out. */
  private cutOff({ rank, error }: LostRank): void {
    const link = this.parts.links[rank]!;
    if (link.isOpen) link.send({ type: 'failed', error: remoteErrorOf(error) });
    void link.close();
    this.parts.local.kill(rank);
  }

  /** Nothing of the running step counts, and whoever is left goes on in a new epoch. */
  private goOn({ left, end }: Decision): void {
    for (const lost of left) this.cutOff(lost);
    if (end !== null) return;
    const abandoned = this.takeRunning();
    if (abandoned.length > 0) this.abandonedStep = abandoned[0]!.step;
    for (const each of abandoned) each.resolve({ kind: 'abandoned' });
    this.onEpoch();
    const { epoch, left: all } = this.losses.members;
    this.sendAll({ kind: 'epoch', epoch, lost: all.map(({ rank }) => rank) });
  }

  private sendAll(body: HeadToRank): void {
    for (const rank of this.losses.members.present) this.send(rank, body);
  }

  private send(rank: number, body: HeadToRank): void {
    const link = this.parts.links[rank]!;
    if (link.isOpen) link.send({ type: 'job', body });
  }

  private listen(link: JobParts['links'][number], rank: number): void {
    link.onMessage((message) => this.onMessage(rank, message));
    void link.closed.then((why) => {
      const how = why.kind === 'lost' ? why.why : 'closed';
      this.losses.report(disconnect(rank, how, this.when(rank)));
    });
  }

  private onMessage(rank: number, message: ControlMessage): void {
    if (message.type === 'failed') return this.onFailed(rank, message.error);
    if (message.type !== 'job') return;
    const body = message.body as RankToHead;
    if (body.kind === 'result') this.onResult(rank, body.result);
    else if (body.kind === 'entered') this.losses.entered(rank, body.epoch);
    else if (body.kind === 'stuck' && body.epoch === this.losses.members.epoch) this.accuse(rank, body.error);
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
    this.closing ??= this.shutDown(why);
    return this.closing;
  }

  /** Ranks elsewhere learn whether the job ended well: their exit code says it. */
  private async shutDown(why: EngineError): Promise<void> {
    const { links, local, rendezvous } = this.parts;
    this.losses.close();
    const gracefully = why.code === 'CLOSED';
    const last: ControlMessage = gracefully
      ? { type: 'shutdown', reason: why.message }
      : { type: 'failed', error: remoteErrorOf(why) };
    for (const link of links) if (link.isOpen) link.send(last);
    // Local ranks first: those that end by themselves close their links without a reset.
    await local.close({ gracefully });
    await rendezvous.close();
  }
}

/** Whoever began several steps hears of the end from the first. */
function handled(outcome: Promise<StepOutcome>): Promise<StepOutcome> {
  outcome.catch(() => undefined);
  return outcome;
}
