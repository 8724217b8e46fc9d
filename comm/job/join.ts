/** A rank's side of the start of a job: finds the head, gets its number, links up with the other ranks. */
import { ControlLink } from './control_link.js';
import { dial, type Address } from '../ws/door/dial.js';
import { CommError, errorOfRemote } from '../base/errors.js';
import type { Mesh, Wait } from '../mesh/mesh.js';
import type { MeshLimits } from '../mesh/mesh_base.js';
import { asRank, type Rank } from '../../base/ids.js';
import { MAX_CONTROL_BYTES, type ControlMessage, type ControlMessageOf } from './messages.js';
import { CONTROL_PATH } from './control_port.js';
import type { OnRefused } from '../ws/door/refusals.js';
import type { TlsOptions } from '../base/tls.js';
import { IoThreadServer, listenInIoThread, openIoThreadMesh } from '../ws/io_thread/io_thread_mesh.js';
import { openThreadMesh } from '../threads/thread_mesh.js';
import type { ThreadSeat } from '../threads/thread_seat.js';
import { listenForPeers, openWsMesh } from '../ws/ws_mesh.js';

/** Where the head is, what proves membership, and how this rank wants to be reached. */
export interface JoinOptions {
  readonly head: Address;
  readonly secret: string;
  /** This rank's certificate and who signed the head's and the other ranks'; for the data links too. Default: no TLS. */
  readonly tls?: TlsOptions | undefined;
  /** A stranger that dialed this rank and was turned away, and why: each reason once per address, a few a minute. */
  readonly onRefused?: OnRefused | undefined;
  /** The rank number to have. Default: the lowest free one. */
  readonly rank?: Rank | undefined;
  /** Host at which other ranks reach this one. Default: this end of the connection to the head. */
  readonly advertise?: string | undefined;
  /** How long to look for the head, which may start later. Default 60000. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a rank links up with the others. */
export interface ReadyOptions extends MeshLimits {
  /** How long to wait until every rank is ready and linked: others may still be loading. Default 600000. */
  readonly timeoutMs?: number | undefined;
  /** Sockets in a thread of their own. Default false. */
  readonly ioThread?: boolean | undefined;
  /** Where all ranks of the job are threads of one process: this rank's seat, instead of a data port. */
  readonly threadSeat?: ThreadSeat | undefined;
}

/** A seat in a job. */
export interface JoinedRank {
  readonly rank: Rank;
  /** Seats of the job. */
  readonly size: number;
  /** What the head said the job is. */
  readonly job: unknown;
  /** To the head. Its messages queue until `onMessage`. */
  readonly link: ControlLink;
  /** This end of the connection to the head. */
  readonly localAddress: string;
  /** Of its ports for others: the address to bind, and the host that others are told. */
  readonly reach: { readonly bind: string; readonly advertise: string };
  /** Once it is {@link ready}: it came to a job that runs, and is no member yet. */
  readonly isNewcomer: boolean;
  /**
   * Makes an offer to the head, and gives what was agreed on when every rank has made one. At most once, before {@link ready}.
   * @throws CommError what the head gave up the job for; ABORTED; CLOSED
   */
  agree(offer: unknown, wait: Wait): Promise<unknown>;
  /** Tells the head how far loading is, 0 … 1. */
  progress(what: string, fraction: number): void;
  /**
   * Call once the weights are loaded: opens the data port, waits for all ranks and links up with them. In a job that runs already it waits for nobody: the
   * mesh has no links, and `Admissions` make them one by one.
   * @throws CommError what the head refused (FINGERPRINT_MISMATCH, …) or why linking failed; then the link is closed
   */
  ready(fingerprint: string, options?: ReadyOptions): Promise<Mesh>;
  /**
   * Finds a new head at the address of the one that is gone, which takes this rank back with its links to the others; `holds`: what it says of itself. The link to it
   * is {@link link} from then on.
   * @throws CommError UNREACHABLE where there is none in time, ABORTED; why it doesn't take this rank back
   */
  comeBack(holds: unknown, wait: Wait): Promise<void>;
  /** Idempotent: leaves the job. The mesh is closed by its owner. */
  close(): Promise<void>;
}

/** A head that says nothing for so long is gone, or its network is. */
const HEAD_SILENCE_MS = 60_000;

/** Joins the job of a head. @throws CommError UNREACHABLE, AUTH_FAILED, VERSION_MISMATCH, INVALID_ARGUMENT, TIMEOUT or ABORTED. */
export async function joinHead(options: JoinOptions): Promise<JoinedRank> {
  const { rank, timeoutMs = 60000, signal } = options;
  const join = { type: 'join', ...(rank === undefined ? {} : { rank }) } as const;
  const { link, welcome } = await greet(options, join, { timeoutMs, signal });
  return new Joined(options, link, welcome);
}

/** A head that listens, and what it says to a first message. */
async function greet(
  { head, secret, tls }: JoinOptions,
  join: ControlMessageOf<'join'>,
  wait: Wait,
): Promise<{ readonly link: ControlLink; readonly welcome: ControlMessageOf<'welcome'> }> {
  const target = { address: head, path: CONTROL_PATH, secret, tls, purpose: 'control', identity: {} } as const;
  const limits = { maxPayload: MAX_CONTROL_BYTES, ...wait };
  const link = await dial({ ...target, ...limits }, (ws, { socket }) => new ControlLink(ws, socket));
  link.watch(HEAD_SILENCE_MS);
  try {
    link.send(join);
    return { link, welcome: expectType(await link.receive(wait), 'welcome') };
  } catch (error) {
    await link.close();
    throw error;
  }
}

type Back = NonNullable<ControlMessageOf<'join'>['back']>;

class Joined implements JoinedRank {
  /** Hidden from whoever looks at the object: a secret is in it. */
  readonly #options: JoinOptions;
  readonly rank: Rank;
  readonly size: number;
  readonly job: unknown;
  readonly localAddress: string;
  isNewcomer = false;
  /** What others know this rank by, once it is linked to them. */
  private known: Pick<Back, 'fingerprint' | 'jobId' | 'host' | 'port'> | undefined;

  constructor(
    options: JoinOptions,
    public link: ControlLink,
    welcome: ControlMessageOf<'welcome'>,
  ) {
    this.#options = options;
    this.rank = asRank(welcome.rank);
    this.size = welcome.size;
    this.job = welcome.job;
    this.localAddress = link.localAddress;
  }

  progress(what: string, fraction: number): void {
    this.link.send({ type: 'progress', what, fraction });
  }

  async agree(offer: unknown, wait: Wait): Promise<unknown> {
    this.link.send({ type: 'offer', body: offer });
    return expectType(await this.link.receive(wait), 'agreed').body;
  }

  async comeBack(body: unknown, wait: Wait): Promise<void> {
    const back = { ...this.known!, body };
    const { link } = await greet(this.#options, { type: 'join', rank: this.rank, back }, wait);
    this.link = link;
  }

  async ready(fingerprint: string, options: ReadyOptions = {}): Promise<Mesh> {
    try {
      return await this.linkUp(fingerprint, options);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.link.close();
  }

  get reach(): JoinedRank['reach'] {
    const { localAddress } = this;
    const { advertise } = this.#options;
    return { bind: bindAddressFor(localAddress, advertise), advertise: advertise ?? localAddress };
  }

  private async linkUp(fingerprint: string, options: ReadyOptions): Promise<Mesh> {
    const { timeoutMs = 600000, ioThread = false, threadSeat, ...limits } = options;
    if (threadSeat !== undefined) return this.sitDown(fingerprint, { ...threadSeat, ...limits }, timeoutMs);
    const { secret, tls, onRefused, signal } = this.#options;
    const { bind, advertise } = this.reach;
    const listen = ioThread ? listenInIoThread : listenForPeers;
    const server = await listen({ host: bind, port: 0 }, { tls, onRefused });
    let peers: ControlMessageOf<'peers'>;
    try {
      this.link.send({ type: 'ready', fingerprint, host: advertise, port: server.port });
      peers = expectType(await this.link.receive({ timeoutMs, signal }), 'peers');
    } catch (error) {
      await server.close();
      throw error;
    }
    // Who comes later may have proved the same files otherwise: among the ranks one fingerprint stands for them.
    const { addresses, jobId, fingerprint: common } = peers;
    this.isNewcomer = addresses.every((address) => address === null);
    this.known = { fingerprint: common, jobId, host: advertise, port: server.port };
    const seat = { rank: this.rank, size: this.size, secret, tls, fingerprint: common, jobId };
    const mesh = await this.whileJobLasts((jobSignal) => {
      const options = { ...seat, ...limits, addresses, timeoutMs, signal: jobSignal };
      return server instanceof IoThreadServer
        ? openIoThreadMesh({ ...options, server })
        : openWsMesh({ ...options, server });
    });
    try {
      this.link.send({ type: 'meshed' });
      return mesh;
    } catch (error) {
      await mesh.close();
      throw error;
    }
  }

  /** A seat in memory has no address; that all ranks are ready still has to be awaited. */
  private async sitDown(fingerprint: string, seat: ThreadSeat, timeoutMs: number): Promise<Mesh> {
    if (seat.rank !== this.rank || seat.size !== this.size) {
      const message = `the seat of rank ${seat.rank} of ${seat.size} for rank ${this.rank} of ${this.size}`;
      throw new CommError('INVALID_ARGUMENT', `${message}; give each rank its own`);
    }
    this.link.send({ type: 'ready', fingerprint, host: this.localAddress, port: 0 });
    expectType(await this.link.receive({ timeoutMs, signal: this.#options.signal }), 'peers');
    const mesh = openThreadMesh(seat);
    this.link.send({ type: 'meshed' });
    return mesh;
  }

  /** Ends `work` when the caller or the head ends the job, and then tells the head's reason. */
  private async whileJobLasts<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const ended = new AbortController();
    const onAbort = (): void => ended.abort(this.#options.signal?.reason);
    this.#options.signal?.addEventListener('abort', onAbort);
    if (this.#options.signal?.aborted === true) onAbort();
    void this.link.closed.then(() => ended.abort());
    try {
      return await work(ended.signal);
    } catch (error) {
      if (this.link.isOpen) throw error;
      // The head's 'failed' came before it closed the link; without one, receive throws that the link is closed.
      const last = await this.link.receive({ timeoutMs: 1000 });
      throw last.type === 'failed' ? errorOfRemote(last.error) : error;
    } finally {
      this.#options.signal?.removeEventListener('abort', onAbort);
    }
  }
}

/** Loopback stays loopback; otherwise every interface, because peers come from other machines. */
function bindAddressFor(localAddress: string, advertise: string | undefined): string {
  const isLocal = localAddress === '::1' || localAddress.startsWith('127.');
  if (isLocal && advertise === undefined) return localAddress;
  return localAddress.includes(':') ? '::' : '0.0.0.0';
}

function expectType<T extends ControlMessage['type']>(message: ControlMessage, type: T): ControlMessageOf<T> {
  if (message.type === type) return message as ControlMessageOf<T>;
  if (message.type === 'failed') throw errorOfRemote(message.error);
  if (message.type === 'shutdown') throw new CommError('CLOSED', `the head ended the job: ${message.reason}`);
  throw new CommError('PROTOCOL', `'${message.type}' from the head, '${type}' expected; run the same build everywhere`);
}
