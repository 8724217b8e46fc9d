/** What passes between the processes that a cluster would be: a request or a piece of an answer, or a frame of keys and values. Each can be the last one. */

/** One of them. */
export interface Message {
  readonly kind: 'request' | 'piece' | 'frame';
  /** Whose server gets the request or sends the piece; of frames: none. */
  readonly at: string;
  /** Its method and path, those of what it answers, or nothing. */
  readonly what: string;
}

/** Told before one passes: its number, from 0. */
export type OnMessage = (n: number, message: Message) => void;

/** Counts them while somebody asks for it. */
export class Messages {
  /** In their order, since the counting began. */
  readonly passed: Message[] = [];
  private onMessage: OnMessage | null = null;

  /** From now on, and from 0. */
  count(onMessage: OnMessage): void {
    this.passed.length = 0;
    this.onMessage = onMessage;
  }

  /** Nobody is told any more. */
  stop(): void {
    this.onMessage = null;
  }

  /** One is about to pass. */
  pass(message: Message): void {
    if (this.onMessage === null) return;
    this.passed.push(message);
    this.onMessage(this.passed.length - 1, message);
  }
}
