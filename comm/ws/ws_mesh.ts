/** The mesh over WebSockets: every rank listens and dials every other, see Link. */
import { setMaxListeners } from 'node:events';
import * as z from 'zod';
import { Deadline, checkTimeout } from '../base/deadline.js';
import { dial, type Address } from './door/dial.js';
import { CommError, type CommErrorCode } from '../base/errors.js';
import type { FrameHeader } from '../mesh/frame.js';
import { MAX_HANDSHAKE_BYTES } from './door/handshake.js';
import { asRank, type Rank } from '../../base/ids.js';
import { InboundLink } from './links/inbound_link.js';
import { Link } from './links/link.js';
import { MeshBase, type MeshLimits } from '../mesh/mesh_base.js';
import { peersOf, type Frame, type Mesh, type MeshStats, type PeerAddress, type Wait } from '../mesh/mesh.js';
import { OutboundLink } from './links/outbound_link.js';
import type { PayloadStream } from '../mesh/payload_stream.js';
import type { OnRefused } from './door/refusals.js';
import { settled } from './links/settling.js';
import type { TlsOptions } from '../base/tls.js';
import { WsServer } from './door/ws_server.js';

const DATA_PATH = '/expertwire/data';
/** How long an address is tried where somebody listens already: another one, or a way that leads nowhere, is told long before the start of the job is given up. */
const LOOKING_MS = 60_000;

/** Who this rank is, where the others are, and what proves that they belong together. */
export interface WsMeshOptions extends MeshLimits {
  readonly rank: Rank;
  readonly size: number;
  /** Of every rank's data server, by rank; the own entry isn't used. Null: nobody has that seat yet. */
  readonly addresses: readonly (Address | null)[];
  /** This rank's data server; the mesh owns it from now on. */
  readonly server: WsServer;
  readonly secret: string;
  /** Of the checkpoint; a peer with another is refused. */
  readonly fingerprint: string;
  /** Keeps the ranks of two jobs with one secret apart. */
  readonly jobId: string;
  /** This rank's certificate and who signed the others'; as for its data server. Default: no TLS. */
  readonly tls?: TlsOptions | undefined;
  /** How long to wait for all links. Default 10000. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of each peer that is lost, at once. */
  readonly onLost?: ((rank: Rank, why: string, code: CommErrorCode) => void) | undefined;
}

/** What the port that ranks dial is opened with. Default: no TLS. */
export interface PeerServerOptions {
  readonly tls?: TlsOptions | undefined;
  /** Told why a connection was refused: each reason once per address, a few a minute. */
  readonly onRefused?: OnRefused | undefined;
}

/** Opens the port on which the other ranks will dial this one. @throws CommError ADDRESS_IN_USE, UNREACHABLE or INVALID_ARGUMENT. */
export function listenForPeers(address: Address, options: PeerServerOptions = {}): Promise<WsServer> {
  // Only handshakes and credit come this way.
  return WsServer.listen({ ...address, ...options, path: DATA_PATH, maxPayload: MAX_HANDSHAKE_BYTES });
}

/**
 * Returns once this rank is linked to every other.
 * @throws CommError UNREACHABLE, TIMEOUT, ABORTED, AUTH_FAILED, PEER_LOST, VERSION_MISMATCH, FINGERPRINT_MISMATCH or PROTOCOL; then everything it
 * opened is closed, the server included
 */
export async function openWsMesh(options: WsMeshOptions): Promise<Mesh> {
  const mesh = new WsMesh(options);
  try {
    await mesh.connect();
    return mesh;
  } catch (error) {
    await mesh.close();
    throw error;
  }
}

const IDENTITY = z.object({
  from: z.number(),
  to: z.number(),
  fingerprint: z.string(),
  jobId: z.string(),
  ticket: z.string(),
});

/** Of links between ranks that were there when the job began. */
const FIRST_TICKET = '';

/** Who waits until some links are open. */
interface Linking {
  readonly onOpen: () => void;
  readonly onLost: (peer: Rank, error: CommError) => void;
}

class WsMesh extends MeshBase {
  /** Hidden from whoever looks at the object: a secret is in it. */
  readonly #options: WsMeshOptions;
  /** By rank; none to the own, and none where nobody is. */
  private readonly links: (Link | undefined)[];
  private readonly linkings = new Set<Linking>();
  private numCopies = 0;
  private copiedBytes = 0;
  /** Of links that are no more. */
  private numPastWrites = 0;

  constructor(options: WsMeshOptions) {
    super(options.rank, options.size, options);
    this.#options = options;
    this.links = new Array<Link | undefined>(options.size).fill(undefined);
    for (const peer of peersOf(this)) if (options.addresses[peer] === null) this.leaveEmpty(peer);
  }

  /** Links up with all who are there when the job begins. */
  connect(): Promise<void> {
    const { addresses, timeoutMs = 10000, signal } = this.#options;
    const targets = peersOf(this).flatMap((peer) => {
      const address = addresses[peer];
      return address == null ? [] : [[peer, { ...address, ticket: FIRST_TICKET }] as const];
    });
    for (const [peer, { ticket }] of targets) this.expect(peer, ticket);
    this.listen();
    return this.linkUp(new Map(targets), { timeoutMs, signal });
  }

  override stats(): MeshStats {
    const writes = this.links.reduce((sum, link) => sum + (link?.numWrites ?? 0), this.numPastWrites);
    return { ...super.stats(), copies: this.numCopies, copiedBytes: this.copiedBytes, writes };
  }

  protected override transmit(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    this.links[to]!.send(header, payload);
  }

  protected override transmitOwn(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    this.links[to]!.send(header, [payload], () => this.memory.release(payload));
  }

  protected override transmitStream(to: Rank, header: FrameHeader, payload: PayloadStream): () => void {
    return this.links[to]!.stream(header, payload, this.memory);
  }

  override settle(): Promise<void> | undefined {
    return settled(this.links.flatMap((link) => link?.leaving ?? []));
  }

  protected override letGo(): void {
    for (const link of this.links) link?.flush();
  }

  protected override released(from: Rank, frameBytes: number): void {
    this.links[from]?.released(frameBytes);
  }

  protected override onLoss(rank: Rank, why: string, code: CommErrorCode): void {
    this.#options.onLost?.(rank, why, code);
  }

  protected override link(peer: Rank, address: PeerAddress, wait: Wait): Promise<void> {
    this.expect(peer, address.ticket);
    return this.linkUp(new Map([[peer, address]]), wait);
  }

  protected override unlink(peer: Rank): void {
    const link = this.links[peer];
    this.links[peer] = undefined;
    this.numPastWrites += link?.numWrites ?? 0;
    link?.drop();
  }

  protected override async disconnect(): Promise<void> {
    await Promise.all(this.links.map(async (link) => link?.close()));
    await this.#options.server.close();
  }

  /** From now on the peer may dial this rank, with this ticket. */
  private expect(peer: Rank, ticket: string): void {
    const link: Link = new Link(ticket, {
      onOpen: () => {
        for (const linking of this.linkings) linking.onOpen();
      },
      onLost: (why, code) => {
        this.lose(peer, why, code);
        const message = `rank ${peer} was lost while rank ${this.rank} linked up: ${why}; look at the log of rank ${peer}`;
        const error = new CommError(code, message, { rank: peer, phase: 'link' });
        for (const linking of this.linkings) linking.onLost(peer, error);
      },
    });
    this.links[peer] = link;
  }

  /** Dials these ranks, which are expected, and returns when frames can travel to and from them; the first failure ends all. */
  private async linkUp(targets: ReadonlyMap<Rank, PeerAddress>, { timeoutMs, signal }: Wait): Promise<void> {
    checkTimeout(timeoutMs);
    const failed = new AbortController();
    setMaxListeners(targets.size + 1, failed.signal); // one per dial
    const onAbort = (): void => failed.abort(signal?.reason);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort);
    const wait = { timeoutMs, signal: failed.signal };
    try {
      const dials = [...targets].map(([peer, address]) => this.dial(peer, address, wait));
      await Promise.all([this.linked([...targets.keys()], wait), ...dials]);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      failed.abort();
    }
  }

  private async dial(peer: Rank, { host, port, ticket }: PeerAddress, wait: Wait): Promise<void> {
    const { secret, fingerprint, jobId, tls } = this.#options;
    const identity = { from: this.rank, to: peer, fingerprint, jobId, ticket };
    const common = { path: DATA_PATH, secret, purpose: 'data', maxPayload: MAX_HANDSHAKE_BYTES, tls } as const;
    const { window, maxFrameBytes, memory } = this;
    const link = this.links[peer]!;
    try {
      const { signal } = wait;
      const timeoutMs = Math.min(wait.timeoutMs, LOOKING_MS);
      await dial({ ...common, address: { host, port }, identity, timeoutMs, signal }, (ws, bulk) => {
        link.setInbound((events) => {
          const onFrame = (frame: Frame, copiedBytes: number): void => this.take(peer, frame, copiedBytes);
          return new InboundLink(ws, bulk, { window, maxFrameBytes, memory, onFrame, ...events });
        });
      });
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      const message = `rank ${this.rank} can't link to rank ${peer}: ${error.message}`;
      throw new CommError(error.code, message, { rank: peer, phase: 'link', cause: error });
    }
  }

  private take(peer: Rank, frame: Frame, copiedBytes: number): void {
    if (copiedBytes > 0) this.numCopies++;
    this.copiedBytes += copiedBytes;
    const refused = this.accept(peer, frame);
    if (refused !== undefined) throw refused;
  }

  /** Resolves when frames can travel to and from these ranks. */
  private linked(peers: readonly Rank[], { timeoutMs, signal }: Wait): Promise<void> {
    const missing = (): Rank[] => peers.filter((peer) => this.links[peer]?.isOpen !== true);
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        deadline.cancel();
        signal?.removeEventListener('abort', onAbort);
        this.linkings.delete(linking);
      };
      const fail = (error: CommError): void => {
        settle();
        reject(error);
      };
      const linking: Linking = {
        onOpen: () => {
          if (missing().length > 0) return;
          settle();
          resolve();
        },
        onLost: (peer, error) => {
          if (peers.includes(peer)) fail(error);
        },
      };
      const deadline = new Deadline(timeoutMs, () => fail(this.missingError(missing(), 'TIMEOUT', timeoutMs)));
      const onAbort = (): void => fail(this.missingError(missing(), 'ABORTED', timeoutMs, signal?.reason));
      signal?.addEventListener('abort', onAbort);
      this.linkings.add(linking);
      if (signal?.aborted === true) onAbort();
      else linking.onOpen();
    });
  }

  private missingError(
    missing: readonly Rank[],
    code: 'TIMEOUT' | 'ABORTED',
    waitedMs: number,
    cause?: unknown,
  ): CommError {
    const what = code === 'TIMEOUT' ? `after ${waitedMs} ms` : 'linking was ended';
    const message = `${what}, rank ${missing.join(', ')} isn't linked to rank ${this.rank}; look at the log of rank ${missing[0]!}`;
    const why = code === 'TIMEOUT' ? { waitedMs } : { cause };
    return new CommError(code, message, { rank: missing[0], phase: 'link', ...why });
  }

  private listen(): void {
    const { server, secret } = this.#options;
    const { window } = this;
    server.onPeer({
      ...{ secret, purpose: 'data' },
      admit: (identity) => this.letIn(identity),
      onPeer: (ws, socket, identity) => {
        const link = this.links[IDENTITY.parse(identity).from]!;
        link.setOutbound((events) => new OutboundLink(ws, socket, { window, ...events }));
      },
    });
  }

  /** @throws CommError why a dialing rank is not let in. */
  private letIn(identity: unknown): void {
    const { rank, size, fingerprint, jobId } = this.#options;
    const parsed = IDENTITY.safeParse(identity);
    if (!parsed.success) throw new CommError('PROTOCOL', 'no rank in the handshake; run the same build on every rank');
    const { data } = parsed;
    if (data.jobId !== jobId) {
      throw new CommError(
        'PROTOCOL',
        `rank ${data.from} is of another job; check the port or use another secret per job`,
      );
    }
    if (data.to !== rank || !peersOf(this).includes(asRank(data.from))) {
      throw new CommError(
        'PROTOCOL',
        `rank ${data.from} dials ${data.to} but this is rank ${rank} of ${size}; check the addresses`,
      );
    }
    if (data.fingerprint !== fingerprint) throw fingerprintMismatch(data.from, data.fingerprint, rank, fingerprint);
    const link = this.links[data.from];
    if (link?.ticket !== data.ticket) throw notExpected(data.from);
    if (link.hasOutbound) {
      throw new CommError('PROTOCOL', `rank ${data.from} has a link already; start each rank once`);
    }
  }
}

/** The peer tries again: the head tells two ranks of each other, and one of them hears it first. */
const notExpected = (from: number): CommError =>
  new CommError('UNREACHABLE', `rank ${from} is not expected yet`, { phase: 'handshake' });

/** Two ranks with different checkpoints. */
export function fingerprintMismatch(rankA: number, a: string, rankB: number, b: string): CommError {
  const message =
    `rank ${rankA} loaded ${a.slice(0, 12)}, rank ${rankB} loaded ${b.slice(0, 12)}; ` +
    'give every rank the same model folder';
  return new CommError('FINGERPRINT_MISMATCH', message, { rank: asRank(rankA), phase: 'join' });
}
