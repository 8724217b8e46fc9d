/** Ranks of several instances in this process read each other's keys and values: as over sockets, but for the sockets. Frames are encoded and checked as they are there. */
import { setImmediate as turn } from 'node:timers/promises';
import { CommError, errorOfRemote, remoteErrorOf } from '../../../comm/base/errors.js';
import { encodeKvFrame, KvIntake } from '../../../comm/kv/kv_frames.js';
import type {
  KvArrival,
  KvDialOptions,
  KvDoor,
  KvLeases,
  KvNetwork,
  KvReader,
  KvRows,
  KvStream,
  KvWish,
} from '../../../comm/kv/kv_link.js';

/** Who hears of one rank's frames, and how long it waits for another. */
export interface MemoryKvOptions {
  /** Before one of its frames leaves. */
  readonly onSend?: () => void;
  /** Before it takes one. */
  readonly onArrival?: () => void;
  /** Default 10000. */
  readonly timeoutMs?: number;
}

/** Frames that wait on a link: the source waits with the next one. */
const MAX_WAITING = 2;

/** Where ranks find each other. */
export class MemoryKvSpace {
  readonly doors = new Map<number, MemoryKv>();
  /** Before any frame leaves. */
  onFrame: () => void = () => undefined;
  private numPorts = 0;

  /** Of one rank. */
  node(options: MemoryKvOptions = {}): MemoryKv {
    return new MemoryKv(this, ++this.numPorts, options);
  }

  /** That are open now. */
  get numLinks(): number {
    return [...this.doors.values()].reduce((sum, { links }) => sum + links.size, 0);
  }
}

/** One rank's network. */
export class MemoryKv implements KvNetwork {
  /** It says nothing any more, and hears nothing. */
  isSilent = false;
  /** Of its own door. */
  readonly links = new Set<MemoryKvLink>();
  leases: KvLeases | null = null;

  constructor(
    private readonly space: MemoryKvSpace,
    private readonly port: number,
    readonly options: MemoryKvOptions,
  ) {}

  open(leases: KvLeases): Promise<KvDoor> {
    this.leases = leases;
    this.space.doors.set(this.port, this);
    const close = (): Promise<void> => {
      this.cut();
      return Promise.resolve();
    };
    return Promise.resolve({ address: { host: 'localhost', port: this.port }, close });
  }

  async dial({ place, lease, wish, signal }: KvDialOptions): Promise<KvStream> {
    await turn();
    const source = this.space.doors.get(place.port);
    if (source === undefined) throw new CommError('UNREACHABLE', `nothing answers at port ${place.port}; is it open?`);
    if (source.isSilent || this.isSilent) {
      await new Promise((resolve) => setTimeout(resolve, this.options.timeoutMs ?? 10_000).unref());
      throw new CommError('UNREACHABLE', `port ${place.port} says nothing; is it stopped?`);
    }
    if (signal.aborted) throw new CommError('ABORTED', 'the caller ended dialing; dial again');
    if (source.leases!.tokenOf(lease.id) !== lease.token) {
      throw new CommError('AUTH_FAILED', 'no lease of that token is in force; ask for another');
    }
    const link = new MemoryKvLink(this.space, wish, source, this);
    setImmediate(() => source.leases?.onReader(lease.id, link));
    return link.stream;
  }

  /** It is killed. */
  cut(): void {
    this.space.doors.delete(this.port);
    this.leases = null;
    for (const link of this.links) link.lose('PEER_LOST', 'the source is gone; compute the rows');
  }
}

class MemoryKvLink implements KvReader {
  private readonly ended = new AbortController();
  private readonly waiting: Uint8Array[] = [];
  private failure: CommError | null = null;
  private wakeTarget: () => void = () => undefined;
  private wakeSource: () => void = () => undefined;
  private readonly intake: KvIntake;

  constructor(
    private readonly space: MemoryKvSpace,
    readonly wish: KvWish,
    private readonly source: MemoryKv,
    private readonly target: MemoryKv,
  ) {
    this.intake = new KvIntake(wish);
    source.links.add(this);
  }

  get gone(): AbortSignal {
    return this.ended.signal;
  }

  async send(rows: KvRows): Promise<void> {
    this.source.options.onSend?.();
    this.space.onFrame();
    if (this.isLost()) return;
    this.waiting.push(encodeKvFrame(rows, this.wish));
    setImmediate(() => this.wakeTarget());
    while (!this.isLost() && (this.waiting.length > MAX_WAITING || this.source.isSilent)) {
      await new Promise<void>((resolve) => (this.wakeSource = resolve));
    }
  }

  private isLost(): boolean {
    return this.failure !== null;
  }

  end(error: unknown): void {
    const { code, text } = errorOfRemote(remoteErrorOf(error));
    this.lose(code, text);
  }

  lose(code: CommError['code'], text: string): void {
    if (this.failure !== null) return;
    this.failure = new CommError(code, text, { phase: 'kv' });
    this.source.links.delete(this);
    this.ended.abort();
    this.wakeTarget();
    this.wakeSource();
  }

  readonly stream: KvStream = {
    next: () => this.next(),
    close: () => this.lose('ABORTED', 'nobody wants these rows any more; ask again'),
  };

  private async next(): Promise<KvArrival | null> {
    if (this.intake.isComplete) return null;
    while (this.waiting.length === 0 || this.target.isSilent || this.source.isSilent) {
      if (this.failure !== null) throw this.failure;
      if (this.source.isSilent) this.loseLater();
      await new Promise<void>((resolve) => (this.wakeTarget = resolve));
    }
    this.target.options.onArrival?.();
    const frame = this.waiting.shift()!;
    this.wakeSource();
    await turn();
    return this.intake.take(frame);
  }

  private loseLater(): void {
    const { timeoutMs = 10_000 } = this.target.options;
    setTimeout(() => this.lose('PEER_LOST', 'the source says nothing; compute the rows'), timeoutMs).unref();
  }
}
