/** Ranks of several instances in this process read each other's keys and values: as over sockets, but for the sockets. Frames are encoded and checked as they are there. */
import { setImmediate as turn } from 'node:timers/promises';
import { CommError, errorOfRemote, remoteErrorOf } from '../../../comm/base/errors.js';
import { BlockIntake, blockFrames } from '../../../comm/kv/block_frames.js';
import { encodeKvFrame, KvIntake } from '../../../comm/kv/kv_frames.js';
import type {
  KvBlocksDialOptions,
  KvBlockStream,
  KvDialOptions,
  KvDoor,
  KvLeases,
  KvNetwork,
  KvPlace,
  KvReader,
  KvStream,
  KvStreamOf,
} from '../../../comm/kv/kv_link.js';
import type { FrameIntake } from '../../../comm/kv/ws_kv_stream.js';

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
  readonly links = new Set<MemoryKvLink<unknown>>();
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

  async dial({ wish, ...where }: KvDialOptions): Promise<KvStream> {
    const { source, link } = await this.linkTo(where, new KvIntake(wish));
    const send: KvReader['send'] = (rows) => link.send(encodeKvFrame(rows, wish));
    setImmediate(() => source.leases?.onReader(where.lease.id, { wish, ...link.face, send }));
    return link.stream;
  }

  async dialBlocks({ wish: asked, keys, ...where }: KvBlocksDialOptions): Promise<KvBlockStream> {
    const wish = { ...asked, numBlocks: keys.length };
    const { source, link } = await this.linkTo(where, new BlockIntake(wish, keys));
    setImmediate(() =>
      source.leases?.onBlocksReader(where.lease.id, {
        ...{ wish, ...link.face },
        send: async (block) => {
          for (const frame of blockFrames(block)) await link.send(frame);
        },
      }),
    );
    return link.stream;
  }

  private async linkTo<Content>({ place, lease, signal }: KvPlace, intake: FrameIntake<Content>) {
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
    return { source, link: new MemoryKvLink(this.space, intake, source, this) };
  }

  /** It is killed. */
  cut(): void {
    this.space.doors.delete(this.port);
    this.leases = null;
    for (const link of this.links) link.lose('PEER_LOST', 'the source is gone; compute the rows');
  }
}

class MemoryKvLink<Content> {
  private readonly ended = new AbortController();
  private readonly waiting: Uint8Array[] = [];
  private failure: CommError | null = null;
  private wakeTarget: () => void = () => undefined;
  private wakeSource: () => void = () => undefined;

  constructor(
    private readonly space: MemoryKvSpace,
    private readonly intake: FrameIntake<Content>,
    private readonly source: MemoryKv,
    private readonly target: MemoryKv,
  ) {
    source.links.add(this);
  }

  /** Of whoever sends. */
  get face(): Pick<KvReader, 'gone' | 'end'> {
    return { gone: this.ended.signal, end: (error) => this.end(error) };
  }

  async send(frame: Uint8Array): Promise<void> {
    this.source.options.onSend?.();
    this.space.onFrame();
    if (this.isLost()) return;
    this.waiting.push(frame);
    setImmediate(() => this.wakeTarget());
    while (!this.isLost() && (this.waiting.length > MAX_WAITING || this.source.isSilent)) {
      await new Promise<void>((resolve) => (this.wakeSource = resolve));
    }
  }

  private isLost(): boolean {
    return this.failure !== null;
  }

  private end(error: unknown): void {
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

  readonly stream: KvStreamOf<Content> = {
    next: () => this.next(),
    close: () => this.lose('ABORTED', 'nobody wants these rows any more; ask again'),
  };

  private async next(): Promise<Content | null> {
    while (!this.intake.isComplete) {
      const content = this.intake.take(await this.nextFrame());
      if (content !== null) return content;
    }
    return null;
  }

  private async nextFrame(): Promise<Uint8Array> {
    while (this.waiting.length === 0 || this.target.isSilent || this.source.isSilent) {
      if (this.failure !== null) throw this.failure;
      if (this.source.isSilent) this.loseLater();
      await new Promise<void>((resolve) => (this.wakeTarget = resolve));
    }
    this.target.options.onArrival?.();
    const frame = this.waiting.shift()!;
    this.wakeSource();
    await turn();
    return frame;
  }

  private loseLater(): void {
    const { timeoutMs = 10_000 } = this.target.options;
    setTimeout(() => this.lose('PEER_LOST', 'the source says nothing; compute the rows'), timeoutMs).unref();
  }
}
