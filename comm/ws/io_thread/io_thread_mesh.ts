/**
 * The WebSocket mesh with its sockets in a thread of their own: bytes move while the compute thread's event loop is blocked. What is sent is copied once
 * into memory that changes hands; what is received changes hands without a copy.
 * Why: docs/decisions/exchange.md#the-io-thread-is-off-by-default
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Address } from '../door/dial.js';
import { CommError, type CommErrorCode } from '../../base/errors.js';
import type { FrameHeader, FrameKey } from '../../mesh/frame.js';
import { FramePort } from '../../threads/frame_port.js';
import { asRank, type Rank } from '../../../base/ids.js';
import {
  errorOfPlain,
  type FromIoThread,
  type IoThreadOrder,
  type ThreadMeshOptions,
  type ToIoThread,
} from './io_thread_messages.js';
import { Gathering, type FrameSource } from '../../mesh/gathering.js';
import { abortedError, closedError } from '../../mesh/mailbox_errors.js';
import { MeshBase } from '../../mesh/mesh_base.js';
import {
  peersOf,
  type Frame,
  type GatherEvents,
  type Mesh,
  type MeshStats,
  type PeerAddress,
  type Wait,
} from '../../mesh/mesh.js';
import { releaseOnce } from '../../mesh/payload_pool.js';
import type { PeerServerOptions, WsMeshOptions } from '../ws_mesh.js';

/** As those of `openWsMesh`, with the server of the thread. */
export interface IoThreadMeshOptions extends Omit<WsMeshOptions, 'server' | 'onLost'> {
  /** This rank's data server; the mesh owns it from now on. */
  readonly server: IoThreadServer;
}

/** As `listenForPeers`, in a thread of its own; strangers are refused without telling. */
export function listenInIoThread(address: Address, options: PeerServerOptions = {}): Promise<IoThreadServer> {
  return IoThreadServer.listen(address, options);
}

/**
 * As `openWsMesh`: the same options, errors and behaviour, with the sockets in the server's thread. A loss is known here a moment later than there, and a
 * frame that can't be sent loses its destination instead of failing in `send`.
 */
export async function openIoThreadMesh(options: IoThreadMeshOptions): Promise<Mesh> {
  const mesh = new IoThreadMesh(options);
  try {
    await mesh.open();
    return mesh;
  } catch (error) {
    await mesh.close();
    throw error;
  }
}

/** If the thread does not end by itself soon after it was told to. */
const TERMINATE_AFTER_MS = 3000;

/** A port that a thread of its own listens on. */
export class IoThreadServer {
  readonly host: string;
  readonly port: number;
  private closing: Promise<void> | undefined;

  /** @throws CommError as `listenForPeers`; then no thread is left. */
  static async listen(address: Address, { tls, onRefused }: PeerServerOptions): Promise<IoThreadServer> {
    const workerData: IoThreadOrder = { address, tls };
    const worker = new Worker(new URL('./io_thread_worker.js', import.meta.url), { workerData });
    worker.on('message', (message: FromIoThread) => {
      if (message.kind === 'turned_away') onRefused?.(errorOfPlain(message.error), message.from);
    });
    const ended = endOf(worker);
    // A worker that fails before it listens emits 'error', which `ended` tells.
    const first = await Promise.race([once(worker, 'message').catch(() => ended), ended]);
    const message = typeof first === 'string' ? undefined : (first[0] as FromIoThread);
    if (message?.kind === 'listening') return new IoThreadServer(worker, ended, message);
    const why = await ended;
    throw message?.kind === 'failed' ? errorOfPlain(message.error) : endedError(why);
  }

  private constructor(
    /** The thread; for the mesh. */
    readonly worker: Worker /** Settles when the thread ended, with why if nobody asked it to. */,
    readonly ended: Promise<string>,
    { host, port }: { host: string; port: number },
  ) {
    this.host = host;
    this.port = port;
  }

  /** Idempotent: closes the port and every link, after what was sent left or a short grace, and ends the thread. */
  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  private async shut(): Promise<void> {
    this.worker.postMessage({ kind: 'close' } satisfies ToIoThread);
    const timer = setTimeout(() => void this.worker.terminate(), TERMINATE_AFTER_MS);
    await this.ended;
    clearTimeout(timer);
  }
}

/** Who waits for a link. */
interface Settle {
  readonly resolve: () => void;
  readonly reject: (error: CommError) => void;
}

/** Who waits for a frame. */
interface Receiver {
  readonly from: Rank;
  readonly gathering: Gathering;
  /** What it is told when the thread confirms that the frame isn't there. */
  verdict: CommError | undefined;
}

class IoThreadMesh extends MeshBase {
  private readonly server: IoThreadServer;
  private readonly frames: FramePort<ToIoThread>;
  private readonly signal: AbortSignal | undefined;
  /** Hidden from whoever looks at the object: a secret is in it. */
  readonly #options: ThreadMeshOptions;
  private readonly receivers = new Map<number, Receiver>();
  private readonly admissions = new Map<number, Settle>();
  private numAdmissions = 0;
  private readonly source: FrameSource = {
    deadlines: this.deadlines,
    giveUp: (gathering, peer, why) => this.cancel(gathering, peer, why),
    leave: (gathering, peer) => {
      for (const id of this.cancel(gathering, peer)) this.receivers.delete(id);
    },
  };
  private numReceives = 0;
  /** Peers that a frame could not be sent to, and why: they are lost. */
  private readonly unsent = new Map<Rank, CommError>();
  /** What the thread has received, as of its last answer. */
  private received: MeshStats | undefined;
  /** Why the thread is gone although nobody closed it. */
  private crash: string | undefined;
  private onOpen: () => void = () => undefined;
  private onFailed: (error: CommError) => void = () => undefined;

  constructor(options: IoThreadMeshOptions) {
    super(options.rank, options.size, options);
    const { server, signal, ...plain } = options;
    this.server = server;
    this.signal = signal;
    this.#options = plain;
    this.frames = new FramePort(server.worker, this.memory);
    for (const peer of peersOf(this)) if (options.addresses[peer] === null) this.leaveEmpty(peer);
    this.server.worker.on('message', (message: FromIoThread) => this.hear(message));
    void this.server.ended.then((why) => this.crashed(why));
  }

  async open(): Promise<void> {
    const signal = this.signal;
    const onAbort = (): void => this.tell({ kind: 'abort' });
    this.tell({ kind: 'open', options: this.#options });
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted === true) onAbort();
    try {
      await new Promise<void>((resolve, reject) => {
        this.onOpen = resolve;
        this.onFailed = reject;
      });
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  override gather(
    peers: readonly Rank[],
    key: FrameKey,
    wait: Wait,
    events: GatherEvents = {},
  ): Frame[] | Promise<Frame[]> {
    const gathering = new Gathering(this.source, peers, key, wait, events);
    for (const from of peers) {
      const why = this.refusalOf(from, key, wait.signal);
      if (why !== undefined) gathering.fail(from, why);
      if (why !== undefined || gathering.isOver) continue;
      const id = ++this.numReceives;
      this.receivers.set(id, { from, gathering, verdict: undefined });
      this.tell({ kind: 'receive', id, from, key });
    }
    return this.outcomeOf(gathering);
  }

  override advanceEpoch(epoch: number): void {
    this.tell({ kind: 'advance_epoch', epoch });
  }

  override mute(rank: Rank, isMuted: boolean): void {
    super.mute(rank, isMuted); // checks the rank
    this.tell({ kind: 'mute', rank, isMuted });
  }

  override stats(): MeshStats {
    const { framesSent, bytesSent, wakeUps, ...none } = super.stats();
    return { ...none, ...this.received, framesSent, bytesSent, wakeUps };
  }

  protected override transmit(_to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    this.frames.send(header, payload);
  }

  protected override transmitOwn(_to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    this.frames.give(header, payload);
  }

  protected override letGo(): void {
    this.frames.flush();
  }

  /** The thread tells of who had the seat before it tells that the new one is linked. */
  protected override lose(rank: Rank, why: string, code?: CommErrorCode): void {
    if (!this.isLinking(rank)) super.lose(rank, why, code);
  }

  protected override async link(rank: Rank, address: PeerAddress, { timeoutMs, signal }: Wait): Promise<void> {
    this.unsent.delete(rank);
    const id = ++this.numAdmissions;
    const onAbort = (): void => {
      const message = `linking to rank ${rank} was ended; admit it again`;
      const cause: unknown = signal?.reason;
      this.admissions.get(id)?.reject(new CommError('ABORTED', message, { rank, phase: 'link', cause }));
    };
    signal?.addEventListener('abort', onAbort);
    this.tell({ kind: 'admit', id, rank, address, timeoutMs });
    try {
      await new Promise<void>((resolve, reject) => {
        this.admissions.set(id, { resolve, reject });
        if (this.crash !== undefined) reject(endedError(this.crash));
        else if (signal?.aborted === true) onAbort();
      });
    } finally {
      this.admissions.delete(id);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  protected override unlink(rank: Rank, why: string): void {
    this.tell({ kind: 'dismiss', rank, why });
  }

  protected override disconnect(): Promise<void> {
    for (const [id, { gathering }] of this.receivers) this.fail(id, closedError(gathering.key));
    this.frames.flush();
    return this.server.close();
  }

  private tell(message: ToIoThread): void {
    this.frames.post(message);
  }

  private hear(message: FromIoThread): void {
    switch (message.kind) {
      case 'listening':
      case 'turned_away': // the server's business
        return;
      case 'open':
        return this.onOpen();
      case 'failed':
        return this.onFailed(errorOfPlain(message.error, this.signal?.reason));
      case 'lost':
        return this.lose(message.rank, message.why, message.code);
      case 'admitted':
        return this.admissions.get(message.id)?.resolve();
      case 'not_admitted':
        return this.admissions.get(message.id)?.reject(errorOfPlain(message.error));
      case 'unsent':
        return this.giveUpOn(message.to, errorOfPlain(message.error));
      case 'frame':
        return this.deliver(message);
      case 'refused':
        return this.refuse(message);
    }
  }

  private giveUpOn(peer: Rank, error: CommError): void {
    if (this.isLinking(peer)) return;
    this.unsent.set(peer, error);
    this.lose(peer, error.message, error.code);
    for (const [id, { from }] of this.receivers) if (from === peer) this.fail(id, error);
  }

  private deliver({ id, header, payload, arrivedAtMs, stats }: Extract<FromIoThread, { kind: 'frame' }>): void {
    this.received = stats;
    const arrivedMs = arrivedAtMs - performance.timeOrigin;
    const release = releaseOnce(this.memory, payload);
    const receiver = this.receivers.get(id);
    this.receivers.delete(id);
    receiver?.gathering.deliver(receiver.from, { header, payload, arrivedMs, release });
  }

  private refuse({ id, error: plain, stats }: Extract<FromIoThread, { kind: 'refused' }>): void {
    this.received = stats;
    const receiver = this.receivers.get(id);
    if (receiver === undefined) return;
    const error = errorOfPlain(plain);
    if (error.rank !== undefined && !ABOUT_THE_CALL.includes(error.code)) this.lose(error.rank, plain.text, error.code);
    this.fail(id, error.code === 'ABORTED' && receiver.verdict !== undefined ? receiver.verdict : error);
  }

  /** The thread answers, with the frame if it came meanwhile. Returns the receivers that it was told of. */
  private cancel(gathering: Gathering, peer: Rank, verdict?: CommError): number[] {
    const ids = [...this.receivers.keys()].filter((id) => {
      const receiver = this.receivers.get(id)!;
      return receiver.gathering === gathering && receiver.from === peer;
    });
    for (const id of ids) {
      this.receivers.get(id)!.verdict ??= verdict;
      this.tell({ kind: 'cancel', id });
    }
    return ids;
  }

  private fail(id: number, error: CommError): void {
    const receiver = this.receivers.get(id);
    this.receivers.delete(id);
    receiver?.gathering.fail(receiver.from, error);
  }

  /** Why nobody can wait for this rank's frame, if so. */
  private refusalOf(from: Rank, key: FrameKey, signal: AbortSignal | undefined): CommError | undefined {
    if (this.crash !== undefined) return endedError(this.crash, key);
    if (this.isClosed) return closedError(key);
    return this.unsent.get(from) ?? (signal?.aborted === true ? abortedError(from, key, signal) : undefined);
  }

  private crashed(why: string): void {
    if (this.isClosed) return;
    this.crash = why;
    this.onFailed(endedError(why));
    for (const { reject } of this.admissions.values()) reject(endedError(why));
    for (let peer = 0; peer < this.size; peer++) {
      if (peer !== this.rank) this.lose(asRank(peer), `the own I/O thread ended: ${why}`);
    }
    for (const [id, { gathering }] of this.receivers) this.fail(id, endedError(why, gathering.key));
  }
}

/** Codes of a refused receive that say nothing about the peer. */
const ABOUT_THE_CALL: readonly CommErrorCode[] = ['ABORTED', 'CLOSED', 'INVALID_ARGUMENT', 'TIMEOUT'];

function endOf(worker: Worker): Promise<string> {
  return new Promise((resolve) => {
    let why = 'it ended by itself';
    worker.on('error', (error: unknown) => (why = error instanceof Error ? error.message : String(error)));
    worker.on('exit', () => resolve(why));
  });
}

function endedError(why: string, key?: FrameKey): CommError {
  const during = key === undefined ? '' : ` during ${key.phase} of layer ${key.layer}`;
  return new CommError('CLOSED', `the I/O thread ended${during}: ${why}; open a new mesh`, {
    phase: key?.phase,
    layer: key?.layer,
  });
}
