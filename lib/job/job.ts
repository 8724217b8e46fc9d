/** The ranks of one job as the head sees them: fed with steps, watched, and ended. */
import type { ControlLink } from '../../comm/job/control_link.js';
import { Deadline } from '../../comm/base/deadline.js';
import type { RemoteError } from '../../comm/base/errors.js';
import type { ControlMessage } from '../../comm/job/messages.js';
import type { Rendezvous } from '../../comm/job/rendezvous.js';
import type { TimelineEvent } from '../metrics/timeline.js';
import type { ExpertDigests } from '../model/weights/expert_digests.js';
import { EngineError } from '../protocol/errors.js';
import type { FailureReport, FirstCause } from './first_cause.js';
import type { LocalRanks, RankExit } from './local_ranks.js';
import { Membership } from './membership.js';
import type { EpochChange, StepOutcome, StepRunner } from './step_runner.js';
import type { HeadToRank, LoadReport, MoveOrder, RankToHead, StepPlan, StepResult } from '../protocol/step_plan.js';

/** The step that runs: results by rank, until all members' are there. */
interface RunningStep {
  readonly step: number;
  readonly placementVersion: number;
  readonly results: (StepResult | null)[];
  resolve(outcome: StepOutcome): void;
  reject(error: EngineError): void;
}

/** What a rank did when, in a step that ran with this version of the placement. */
export type OnTimeline = (rank: number, events: readonly TimelineEvent[], placementVersion: number) => void;

/** What a running job is made of. */
export interface JobParts {
  readonly rendezvous: Pick<Rendezvous, 'close'>;
  readonly local: Pick<LocalRanks, 'exits' | 'kill' | 'close'>;
  /** By rank. */
  readonly links: readonly Pick<ControlLink, 'isOpen' | 'send' | 'onMessage' | 'closed' | 'close'>[];
  readonly cause: FirstCause;
  readonly reports: readonly LoadReport[];
  /** What experts are, where ranks with other folders must prove theirs. Default: nobody must. */
  readonly expertDigests?: ExpertDigests;
  /** Told what a rank did when, after each step. */
  readonly onTimeline?: OnTimeline | undefined;
}

export interface JobTimes {
  readonly stepTimeoutMs: number;
  /** How long a rank may take to enter an epoch. */
  readonly enterTimeoutMs: number;
}

export class Job implements StepRunner {
  readonly reports: readonly LoadReport[];
  readonly expertDigests: ExpertDigests;
  /** Settles with the first cause when the job ends otherwise than by {@link close}. */
  readonly failed: Promise<EngineError>;
  private readonly parts: JobParts;
  private readonly stepTimeoutMs: number;
  /** Where losses are masked; otherwise the first one ends the job. */
  private readonly membership: Membership | null;
  /** Ends the job, and then settles {@link failed}. */
  private readonly fail: (error: EngineError) => void;
  private onEpoch: () => void = () => undefined;
  private numLossesTold = 0;
  private abandonedStep: number | null = null;
  private running: RunningStep | null = null;
  /** The last step that began. */
  private lastStep = 0;
  /** Why no step can run any more. */
  private ended: EngineError | null = null;
  private closing: Promise<void> | null = null;

  /** A job whose ranks have joined, loaded and met: `startJob` makes one. */
  constructor(parts: JobParts, onPeerLoss: 'fail' | 'mask', { stepTimeoutMs, enterTimeoutMs }: JobTimes) {
    const { links, local, cause } = parts;
    [this.parts, this.reports, this.stepTimeoutMs] = [parts, parts.reports, stepTimeoutMs];
    this.expertDigests = parts.expertDigests ?? new Map<string, string>();
    let settle: (error: EngineError) => void = () => undefined;
    this.failed = new Promise((resolve) => (settle = resolve));
    this.fail = (error) => void this.end(error, { gracefully: false }).then(() => settle(error));
    this.membership = null;
    if (onPeerLoss === 'fail') void cause.found.then(this.fail);
    else {
      cause.close();
      this.membership = new Membership({
        numRanks: links.length,
        enterTimeoutMs,
        tell: (rank, message) => this.send(rank, message),
        cutOff: (rank, error) => this.cutOff(rank, error),
        onEpoch: () => this.abandon(),
        onNobodyLeft: this.fail,
      });
    }
    for (const exit of local.exits) void exit.then((end) => this.report(reportOf(end)));
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
    await this.membership?.settled();
    if (this.ended !== null) throw this.ended;
    return this.change();
  }

  /** What changed since the last call of this or of {@link settled}, or null. */
  change(): EpochChange | null {
    const { epoch = 0, lostRanks = [] } = this.membership ?? {};
    const lost = lostRanks.slice(this.numLossesTold);
    if (lost.length === 0) return null;
    const { abandonedStep } = this;
    this.numLossesTold = lostRanks.length;
    this.abandonedStep = null;
    return { epoch, lost, abandonedStep };
  }

  /**
   * Runs one step on all ranks that are left. Rejects with the first cause when the job ends because one fails, is lost or takes too long, and with
   * CLOSED when the job is closed.
   */
  async step(plans: readonly StepPlan[]): Promise<StepOutcome> {
    if (this.ended !== null) throw this.ended;
    const { step, epoch, placementVersion } = plans[0]!;
    if (epoch !== this.epoch) return { kind: 'abandoned' }; // before it began
    this.lastStep = step;
    const deadline = new Deadline(this.stepTimeoutMs, () => this.accuseLate());
    try {
      // A promise of its own for each step: racing against one that outlives it would keep every step's results alive.
      return await new Promise((resolve, reject) => {
        this.running = { step, placementVersion, results: plans.map(() => null), resolve, reject };
        for (const [rank, plan] of plans.entries()) if (this.isMember(rank)) this.send(rank, { kind: 'step', plan });
      });
    } finally {
      deadline.cancel();
      this.running = null;
    }
  }

  /** Tells every rank that is left, before its next step; false where that epoch is over, or the job: then nobody was told. */
  move(move: MoveOrder, epoch: number): boolean {
    if (this.ended !== null || epoch !== this.epoch) return false;
    for (let rank = 0; rank < this.numRanks; rank++) if (this.isMember(rank)) this.send(rank, { kind: 'move', move });
    return true;
  }

  /** Sequences that are over. */
  free(rank: number, sequences: readonly number[]): void {
    if (this.isMember(rank)) this.send(rank, { kind: 'free', sequences });
  }

  /** Ends all ranks. Idempotent. */
  async close(): Promise<void> {
    await this.end(new EngineError('CLOSED', 'the job was closed; start another'), { gracefully: true });
  }

  private get epoch(): number {
    return this.membership?.epoch ?? 0;
  }

  private isMember(rank: number): boolean {
    return this.membership?.has(rank) ?? true;
  }

  private report(report: FailureReport): void {
    (this.membership ?? this.parts.cause).report(report);
  }

  /** A rank that was lost must not come back: a process of this machine is killed, one elsewhere learns why it is out. */
  private cutOff(rank: number, { code, message }: EngineError): void {
    const link = this.parts.links[rank]!;
    if (link.isOpen) link.send({ type: 'failed', error: { code, message } });
    void link.close();
    this.parts.local.kill(rank);
  }

  /** Nothing of the running step counts. */
  private abandon(): void {
    if (this.running !== null) this.abandonedStep = this.running.step;
    this.running?.resolve({ kind: 'abandoned' });
    this.running = null;
    this.onEpoch();
  }

  private send(rank: number, body: HeadToRank): void {
    const link = this.parts.links[rank]!;
    if (link.isOpen) link.send({ type: 'job', body });
  }

  private listen(link: JobParts['links'][number], rank: number): void {
    link.onMessage((message) => this.onMessage(rank, message));
    void link.closed.then((why) => {
      if (this.ended !== null) return;
      const how = why.kind === 'lost' ? why.why : 'closed';
      const text = `the connection to rank ${rank} ended${this.when()} (${how}); look at its log and start the job again`;
      this.report({ kind: 'disconnect', from: rank, error: new EngineError('RANK_LOST', text, { rank }) });
    });
  }

  private onMessage(rank: number, message: ControlMessage): void {
    if (message.type === 'failed') return this.onFailed(rank, message.error);
    if (message.type !== 'job') return;
    const body = message.body as RankToHead;
    if (body.kind === 'result') this.onResult(rank, body.result);
    else if (body.kind === 'entered') this.membership?.entered(rank, body.epoch);
    else if (body.kind === 'stuck' && body.epoch === this.membership?.epoch) this.onStuck(rank, body.error);
  }

  private onResult(rank: number, result: StepResult): void {
    const { running } = this;
    if (result.step !== running?.step) return; // of a step that was abandoned
    running.results[rank] = result;
    const { timeline, moved } = result;
    if (timeline !== undefined) {
      this.parts.onTimeline?.(rank, [...timeline, ...(moved?.timeline ?? [])], running.placementVersion);
    }
    const isDone = running.results.every((each, member) => each !== null || !this.isMember(member));
    if (isDone) running.resolve({ kind: 'done', results: running.results });
  }

  /** Its peers' misses are what a rank that waits for the head's word tells. */
  private onStuck(rank: number, { code, message, rank: about }: RemoteError): void {
    const text = this.accusation(rank, code, message);
    const error = new EngineError(code === 'TIMEOUT' ? 'TIMEOUT' : 'RANK_LOST', text, { rank: about! });
    this.report({ kind: 'accusation', from: rank, about: [about!], error });
  }

  /** A rank that complains about another one is a witness, not the cause; where losses are masked, it would not have ended for that. */
  private onFailed(rank: number, { code, message, rank: about }: RemoteError): void {
    if (this.ended !== null) return;
    const isAccusation = this.membership === null && about !== undefined && about !== rank;
    const text = isAccusation ? this.accusation(rank, code, message) : `rank ${rank} failed${this.when()}: ${message}`;
    const error = new EngineError(isAccusation && code === 'TIMEOUT' ? 'TIMEOUT' : 'RANK_FAILED', text, {
      rank: isAccusation ? about : rank,
    });
    // Whichever rank computes the same tokens next would fail alike: masking would give up one rank after another.
    if (this.membership !== null && code === 'NOT_FINITE') this.fail(error);
    else if (isAccusation) this.report({ kind: 'accusation', from: rank, about: [about], error });
    else this.report({ kind: 'own_failure', from: rank, error });
  }

  /** What a witness says of another rank: that one comes first, since it is what a reader looks for. */
  private accusation(witness: number, code: string, message: string): string {
    const [reason, ...advice] = message.replace(`${code}: `, '').split('; ');
    return [`${reason!}, says rank ${witness}${this.when()}`, ...advice].join('; ');
  }

  private accuseLate(): void {
    const results = this.running?.results ?? [];
    const late = results.flatMap((result, rank) => (result === null && this.isMember(rank) ? [rank] : []));
    const text =
      `rank ${late.join(', ')} did not finish step ${this.lastStep} within ${this.stepTimeoutMs} ms ` +
      '(comm.timeout_ms for each layer); look at its log, or raise comm.timeout_ms';
    const error = new EngineError('TIMEOUT', text, { rank: late[0]! });
    this.report({ kind: 'deadline', from: null, about: late, error });
  }

  private when(): string {
    return this.lastStep === 0 ? ' before the first step' : ` in step ${this.lastStep}`;
  }

  private end(why: EngineError, how: { readonly gracefully: boolean }): Promise<void> {
    this.ended ??= why;
    this.running?.reject(why);
    this.closing ??= this.shutDown(why, how);
    return this.closing;
  }

  /** Ranks elsewhere learn whether the job ended well: their exit code says it. */
  private async shutDown(
    { code, message }: EngineError,
    { gracefully }: { readonly gracefully: boolean },
  ): Promise<void> {
    const { links, local, rendezvous, cause } = this.parts;
    cause.close();
    this.membership?.close();
    const last: ControlMessage = gracefully
      ? { type: 'shutdown', reason: message }
      : { type: 'failed', error: { code, message } };
    for (const link of links) if (link.isOpen) link.send(last);
    // Local ranks first: those that end by themselves close their links without a reset.
    await local.close({ gracefully });
    await rendezvous.close();
  }
}

/** That the process of a rank, or of all of them, ended. */
export const reportOf = (exit: RankExit): FailureReport => ({ kind: 'exit', from: exit.rank, error: exitError(exit) });

function exitError({ rank, pid, code, signal }: RankExit): EngineError {
  const how = signal === null ? `ended with exit code ${code ?? '?'}` : `was killed by ${signal}`;
  const who = rank === null ? 'the process of all ranks' : `rank ${rank}`;
  const text = `${who} (process ${pid ?? '?'}) ${how}, and its experts with it; look at its last lines above and start the job again`;
  return new EngineError('RANK_LOST', text, rank === null ? {} : { rank });
}
