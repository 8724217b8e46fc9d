/**
 * Back-pressure without a paused socket: pure counting. A receiver grants its peer a window of bytes and frames that may
 * be on the way or wait to be taken; what is taken or dropped is returned as credit.
 *
 * Why it can't deadlock in lockstep: a frame is held back only while more than the window less itself is out. Once what
 * is on the way came, the receiver sees the same sum, finds the window tight (no frame of the largest size would fit)
 * and returns every byte that it owes at once. So a frame is held back only while frames that nobody took fill the window.
 * The window is 2 × microBatches × the largest frame, and a peer in lockstep is at most one phase ahead: two frames
 * per micro-batch at most wait for it. The frame that is awaited always fits.
 */
import { CommError } from '../base/errors.js';

/** Bytes include frame headers. */
export interface Window {
  readonly numBytes: number;
  readonly numFrames: number;
}

/** What part of the window is owed before it is returned unasked. */
const OWED_SHARE = 4;

/** The sender's side: what is out. */
export class SendWindow {
  private numBytes = 0;
  private numFrames = 0;

  constructor(private readonly window: Window) {}

  /** Whether a frame of so many bytes, header included, fits beside what is out. */
  canSend(frameBytes: number): boolean {
    return this.numBytes + frameBytes <= this.window.numBytes && this.numFrames < this.window.numFrames;
  }

  /** A frame of so many bytes, header included, went out. */
  sent(frameBytes: number): void {
    this.numBytes += frameBytes;
    this.numFrames++;
  }

  /** Takes in the credit that the peer returned. @throws CommError PROTOCOL when more comes back than went out. */
  returned(credit: Window): void {
    this.numBytes -= credit.numBytes;
    this.numFrames -= credit.numFrames;
    if (this.numBytes >= 0 && this.numFrames >= 0) return;
    const message = `received credit for ${credit.numFrames} frames of ${credit.numBytes} bytes that were never sent`;
    throw new CommError('PROTOCOL', `${message}; run the same build on every rank`);
  }
}

/** The receiver's side: what the sender believes is out, and what of it was taken. */
export class CreditAccount {
  private outBytes = 0;
  private outFrames = 0;
  private owedBytes = 0;
  private owedFrames = 0;

  constructor(
    private readonly window: Window,
    private readonly maxFrameBytes: number,
  ) {}

  /** A frame of so many bytes, header included, came. */
  received(frameBytes: number): void {
    this.outBytes += frameBytes;
    this.outFrames++;
  }

  /** A frame that came was taken or dropped: its bytes are owed. */
  released(frameBytes: number): void {
    this.owedBytes += frameBytes;
    this.owedFrames++;
  }

  /** What to return now, if anything: small debts are gathered while the sender has room. */
  due(): Window | undefined {
    if (this.owedFrames === 0 || !(this.isMuch() || this.isTight())) return undefined;
    const credit = { numBytes: this.owedBytes, numFrames: this.owedFrames };
    this.outBytes -= credit.numBytes;
    this.outFrames -= credit.numFrames;
    this.owedBytes = this.owedFrames = 0;
    return credit;
  }

  private isMuch(): boolean {
    const { numBytes, numFrames } = this.window;
    return this.owedBytes * OWED_SHARE >= numBytes || this.owedFrames * OWED_SHARE >= numFrames;
  }

  /** The sender may be holding a frame back. */
  private isTight(): boolean {
    const { numBytes, numFrames } = this.window;
    return this.outBytes + this.maxFrameBytes > numBytes || this.outFrames >= numFrames;
  }
}
