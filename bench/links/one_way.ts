/** What one socket of a connection hears, said by the other one when the link has carried it. */
import type { Socket } from 'node:net';
import { fineNow } from './clock_words.js';
import type { FineClock } from './fine_clock.js';
import type { Lane } from './lane.js';

/** What comes by so little too early isn't worth a timer. */
const EARLY_MS = 0.02;

interface Held {
  readonly bytes: Buffer;
  readonly atMs: number;
}

/** In order, and no byte lost: what is held when the speaker is gone arrives, and then the end. */
export class OneWay {
  private readonly held: Held[] = [];
  private numHeldBytes = 0;
  private isSilent = false;
  private isOver = false;
  private readonly deliver = (): void => this.deliverDue();

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly lane: Lane,
    private readonly clock: FineClock,
  ) {
    from.on('data', (bytes: Buffer) => this.take(bytes));
    from.on('end', () => this.end());
    from.on('close', () => this.end());
    to.on('drain', () => this.steer());
  }

  /** What comes from now on waits, or goes on. */
  silence(isSilent: boolean): void {
    this.isSilent = isSilent;
    this.steer();
  }

  private take(bytes: Buffer): void {
    this.held.push({ bytes, atMs: this.lane.pass(bytes.length, fineNow()) });
    this.numHeldBytes += bytes.length;
    if (this.held.length === 1) this.deliverDue();
    else this.steer();
  }

  private deliverDue(): void {
    const nowMs = fineNow() + EARLY_MS;
    while (this.held.length > 0 && this.held[0]!.atMs <= nowMs) {
      const { bytes } = this.held.shift()!;
      this.numHeldBytes -= bytes.length;
      if (!this.to.destroyed) this.to.write(bytes);
    }
    if (this.held.length > 0) this.clock.wake(this.deliver, this.held[0]!.atMs);
    else if (this.isOver) this.to.end();
    this.steer();
  }

  private end(): void {
    this.isOver = true;
    if (this.held.length === 0) this.to.end();
  }

  /** Reads where anybody may have what is read. */
  private steer(): void {
    const isFull = this.numHeldBytes > this.lane.maxHeldBytes || this.to.writableNeedDrain;
    if (this.isSilent || isFull) this.from.pause();
    else this.from.resume();
  }
}
