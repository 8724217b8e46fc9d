/** What a rank's process is to its job, in this process: it takes orders, and fails or falls silent at chosen moments. */
import { CommError, remoteErrorOf } from '../../../comm/base/errors.js';
import { Admissions } from '../../../comm/job/admissions.js';
import { asRank } from '../../../base/ids.js';
import type { LossPolicy } from '../../../lib/config/loss_policy.js';
import type { RankExit } from '../../../lib/job/rank_process.js';
import type { RankExecutor } from '../../../lib/rank/rank_executor.js';
import { RankSteps } from '../../../lib/rank/rank_steps.js';
import type { Handover } from '../../../lib/rank/handover/handover.js';
import type { RankStore } from '../../../lib/rank/store/rank_store.js';
import type { HandoverOrder, PullReport } from '../../../lib/protocol/handover.js';
import type { MemoryKv } from '../comm/memory_kv.js';
import type { HeadToRank, RankToHead, StepOrder } from '../../../lib/protocol/step_plan.js';
import type { Phase } from '../../../comm/mesh/frame.js';
import type { FaultyMesh, FrameMoment } from '../comm/faulty_mesh.js';
import type { MemoryLink } from '../comm/memory_link.js';

/**
 * When a rank fails: before a frame, before or after it reports a step, when it is told of an epoch, or before the nth frame of a phase or message of a kind, from 1; when it
 * is told an order to hand a sequence over, before it sends rows of a lease, or before it takes rows of a pull: the nth, from 1.
 */
export type Moment =
  | ({ readonly kind: 'frame' } & FrameMoment)
  | { readonly kind: 'phase'; readonly phase: Phase; readonly nth: number }
  | { readonly kind: 'message'; readonly message: RankToHead['kind']; readonly nth: number }
  | { readonly kind: 'before_result'; readonly step: number }
  | { readonly kind: 'after_step'; readonly step: number }
  | { readonly kind: 'epoch'; readonly epoch: number }
  | { readonly kind: 'order'; readonly order: HandoverOrder['kind']; readonly nth: number }
  | { readonly kind: 'kv_sent' | 'kv_arrived'; readonly nth: number };

export interface Fault {
  readonly rank: number;
  readonly at: Moment;
  /**
   * killed (default): its connections close and its process ends; stopped: it says nothing any more; late: it lives, and its frames
   * of this epoch arrive in the next one; refused: its mesh throws instead of sending this frame.
   */
  readonly how?: 'killed' | 'stopped' | 'late' | 'refused';
  /** Instead: the link to this rank is cut, at both ends, and both live. */
  readonly cutFrom?: number;
}

export interface LocalRankParts {
  readonly executor: RankExecutor;
  /** By seat, of those who sit there now. */
  readonly meshes: readonly FaultyMesh[];
  readonly link: MemoryLink;
  /** Null: no sequence goes on in another instance. */
  readonly handover: { readonly own: Handover; readonly network: MemoryKv } | null;
  /** Null: it has no tiers. */
  readonly store: RankStore | null;
  /** It is no member before its first epoch. */
  readonly isNewcomer: boolean;
  readonly faults: readonly Fault[];
  readonly onPeerLoss: LossPolicy;
  readonly timeoutMs: number;
}

/** What a rank's process is. */
export class LocalRank {
  readonly exit: Promise<RankExit>;
  private readonly steps: RankSteps;
  private readonly mesh: FaultyMesh;
  private settleExit!: (exit: RankExit) => void;
  private readonly faults: Fault[];
  /** Frames by phase, and messages by kind. */
  private readonly counts = new Map<string, number>();
  private isSilent = false;
  private isMember: boolean;

  constructor(
    private readonly rank: number,
    private readonly parts: LocalRankParts,
  ) {
    this.mesh = parts.meshes[rank]!;
    this.exit = new Promise((resolve) => (this.settleExit = resolve));
    const { link, executor, onPeerLoss } = parts;
    this.faults = [...parts.faults];
    this.steps = new RankSteps({
      rank,
      executor,
      store: parts.store,
      onPeerLoss,
      tell: (body) => this.tell(body),
      onFailed: (error) => {
        if (this.isSilent) return;
        link.send({ type: 'failed', error: remoteErrorOf(error) });
        this.fail('killed');
      },
    });
    this.isMember = !parts.isNewcomer;
    if (this.isMember) parts.store?.begin();
    const admissions = new Admissions({ link, mesh: this.mesh, timeoutMs: parts.timeoutMs });
    const isDeaf = (): boolean => this.isSilent;
    link.onMessage((message) => {
      if (isDeaf() || admissions.take(message)) return;
      if (message.type !== 'job') return;
      const body = message.body as HeadToRank;
      if (body.kind === 'leave') this.leave();
      else if (body.kind === 'handover') this.handOver(body.order);
      else if (body.kind !== 'end_grace' && body.kind !== 'stay') this.take(body);
    });
  }

  /** Before a frame leaves. */
  reachFrame(moment: FrameMoment): void {
    const { phase } = moment;
    this.reach({ kind: 'frame', ...moment });
    this.reach({ kind: 'phase', phase, nth: this.count(phase) });
  }

  private count(what: string): number {
    const count = (this.counts.get(what) ?? 0) + 1;
    this.counts.set(what, count);
    return count;
  }

  /** Fails here if a fault says so. */
  reach(moment: Moment): void {
    const fault = this.faults.find(({ at }) => JSON.stringify(sorted(at)) === JSON.stringify(sorted(moment)));
    if (fault?.how === 'refused') this.faults.splice(this.faults.indexOf(fault), 1); // the next frame may leave
    if (fault?.cutFrom !== undefined) this.cutFrom(fault.cutFrom);
    else if (fault !== undefined) this.fail(fault.how ?? 'killed');
  }

  fail(how: NonNullable<Fault['how']>): void {
    const { link, handover } = this.parts;
    const { mesh } = this;
    if (how === 'refused') throw new CommError('LIMIT', 'the mesh of this test refuses this frame');
    if (how === 'late') {
      mesh.isLate = true;
      return;
    }
    mesh.isSilent = true;
    this.isSilent = true;
    if (handover !== null && how === 'stopped') handover.network.isSilent = true;
    else this.endHandover();
    link.isStopped = how === 'stopped';
    if (how === 'stopped') return;
    void mesh.close();
    void link.close();
    setImmediate(() => this.settleExit({ rank: this.rank, pid: undefined, code: null, signal: 'SIGKILL' }));
  }

  /** It was told to go. */
  private leave(): void {
    this.isSilent = true;
    this.endHandover();
    void this.mesh.close();
    void this.parts.link.close();
    setImmediate(() => this.settleExit({ rank: this.rank, pid: undefined, code: 0, signal: null }));
  }

  /** Asks to leave, as a process does that is told to stop. */
  askToLeave(): void {
    this.tell({ kind: 'leave' });
  }

  /** Its job is over: the step that runs is abandoned. Resolves when nothing runs. */
  abandon(): Promise<void> {
    return this.steps.pause();
  }

  private cutFrom(peer: number): void {
    const { meshes } = this.parts;
    this.mesh.cut(asRank(peer));
    meshes[peer]!.cut(asRank(this.rank));
  }

  /** Its process ends: what it was sending breaks off. */
  private endHandover(): void {
    this.parts.handover?.network.cut();
    void this.parts.handover?.own.close();
    void this.parts.store?.close();
  }

  /** Rows of a lease leave, or rows of a pull are about to be taken. */
  reachRows(kind: 'kv_sent' | 'kv_arrived'): void {
    this.reach({ kind, nth: this.count(kind) });
  }

  private handOver(order: HandoverOrder): void {
    const isDeaf = (): boolean => this.isSilent;
    this.reach({ kind: 'order', order: order.kind, nth: this.count(`order ${order.kind}`) });
    if (!isDeaf()) this.parts.handover?.own.obey(order, this.steps.freed);
  }

  /** Of its tiers, while its process lives. */
  tellStore(body: Extract<RankToHead, { readonly kind: 'lifted' | 'store' }>): void {
    this.tell(body);
  }

  /** What came of a pull. */
  tellPulled(report: PullReport): void {
    this.tell({ kind: 'pulled', ...report });
  }

  private take(body: StepOrder): void {
    const isDeaf = (): boolean => this.isSilent;
    if (isDeaf()) return;
    if (body.kind === 'epoch') this.reach({ kind: 'epoch', epoch: body.epoch });
    if (isDeaf()) return;
    if (body.kind === 'epoch') this.takePart();
    this.steps.take(body);
  }

  private takePart(): void {
    if (!this.isMember) this.parts.store?.begin();
    this.isMember = true;
  }

  private tell(body: RankToHead): void {
    const isMute = (): boolean => this.isSilent;
    if (body.kind === 'result') this.reach({ kind: 'before_result', step: body.result.step });
    this.reach({ kind: 'message', message: body.kind, nth: this.count(`message ${body.kind}`) });
    if (isMute()) return;
    this.parts.link.send({ type: 'job', body });
    if (body.kind === 'result') this.reach({ kind: 'after_step', step: body.result.step });
  }
}

const sorted = (moment: Moment): unknown => Object.entries(moment).sort(([a], [b]) => a.localeCompare(b));
