/**
 * The mesh of ranks that are threads of one process: small frames through rings that both threads see, large ones change hands.
 * Why: docs/decisions/exchange.md#threads-exchange-through-rings-and-ports
 */
import { CommError } from '../base/errors.js';
import type { FrameHeader } from '../mesh/frame.js';
import { asRank, type Rank } from '../../base/ids.js';
import { Naps } from './inbox.js';
import { MeshBase } from '../mesh/mesh_base.js';
import type { ArrivingFrame, Mesh, MeshStats } from '../mesh/mesh.js';
import { Patience } from './patience.js';
import { ThreadLink, type LinkOwner } from './thread_link.js';
import type { ThreadSeat } from './thread_seat.js';

/** After so long without a turn of the event loop who waits sleeps at once: timers, signals and the head must be heard. */
const MAX_TURN_MS = 5;

/** This thread's rank. The others needn't be open yet: what is sent waits for them. An open mesh keeps its thread alive. */
export function openThreadMesh(seat: ThreadSeat): Mesh {
  return new ThreadMesh(seat);
}

class ThreadMesh extends MeshBase implements LinkOwner {
  /** By peer rank; null for the own one. */
  private readonly links: readonly (ThreadLink | null)[];
  private readonly naps: Naps;
  /** Undefined where there are more ranks than cores: whom it waits for may need this one's. */
  private readonly patience: Patience | undefined;
  /** Since when this turn of the event loop looks by itself; undefined: it has to be woken. */
  private awakeSinceMs: number | undefined;

  constructor(seat: ThreadSeat) {
    super(seat.rank, seat.size, seat);
    this.naps = new Naps(seat.inboxes[seat.rank]!);
    this.patience = seat.canSpin ? new Patience() : undefined;
    this.links = seat.ports.map((port, peer) => port && new ThreadLink(seat, asRank(peer), this.memory, this));
    this.stayAwake(performance.now());
  }

  override stats(): MeshStats {
    const writes = this.links.reduce((sum, link) => sum + (link?.writes ?? 0), 0);
    return { ...super.stats(), writes };
  }

  onFrame(peer: Rank, frame: ArrivingFrame): void {
    const refused = this.accept(peer, frame);
    if (refused !== undefined) throw refused;
  }

  onFarewell(peer: Rank, why: string): void {
    this.lose(peer, why);
  }

  onRefused(peer: Rank, error: unknown): void {
    if (!(error instanceof CommError)) throw error;
    this.lose(peer, error.message, error.code);
    this.links[peer]!.part('it refused a frame; its log says why');
  }

  onBell(): void {
    this.stayAwake(performance.now());
  }

  onHeard(): void {
    this.stayAwake(performance.now());
    this.look();
  }

  protected override spin(wait: { readonly isOver: boolean }): void {
    const startMs = performance.now();
    if (!this.stayAwake(startMs)) return;
    this.look();
    if (!wait.isOver && this.patience !== undefined) this.linger(wait, startMs, this.patience);
  }

  protected override transmit(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    this.links[to]!.send(header, payload);
  }

  protected override transmitOwn(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    this.links[to]!.give(header, payload);
  }

  protected override letGo(): void {
    for (const link of this.links) link?.flush();
  }

  protected override unlink(peer: Rank): void {
    this.links[peer]?.part('it ended the link');
  }

  /** What was sent before is delivered before the end. */
  protected override disconnect(): Promise<void> {
    for (const link of this.links) link?.part('it closed its mesh');
    return Promise.resolve();
  }

  private linger(wait: { readonly isOver: boolean }, startMs: number, patience: Patience): void {
    const lookMs = patience.next();
    if (lookMs === 0) return;
    do this.look();
    while (!wait.isOver && performance.now() - startMs < lookMs);
    patience.learn(wait.isOver);
  }

  private look(): void {
    for (const link of this.links) link?.look();
  }

  /** Until the event loop turns nobody has to wake this thread: it looks by itself. False where that turn is overdue. */
  private stayAwake(nowMs: number): boolean {
    if (this.awakeSinceMs !== undefined) return nowMs - this.awakeSinceMs < MAX_TURN_MS;
    this.awakeSinceMs = nowMs;
    this.naps.wake();
    setImmediate(this.onTurn);
    return true;
  }

  private readonly onTurn = (): void => {
    this.awakeSinceMs = undefined;
    this.naps.sleep();
    this.look();
  };
}
