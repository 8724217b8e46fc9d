/** The mesh over WebSockets: every rank listens and dials every other, see Link. */
import { setMaxListeners } from 'node:events';
import * as z from 'zod';
import { Deadline, checkTimeout } from '../base/deadline.js';
import { dial, type Address } from './door/dial.js';
import { CommError } from '../base/errors.js';
import type { FrameHeader } from '../mesh/frame.js';
import { MAX_HANDSHAKE_BYTES } from './door/handshake.js';
import { asRank, type Rank } from '../../base/ids.js';
import { InboundLink } from './links/inbound_link.js';
import { Link } from './links/link.js';
import { MeshBase, type MeshLimits } from '../mesh/mesh_base.js';
import type { Frame, Mesh, MeshStats } from '../mesh/mesh.js';
import { OutboundLink } from './links/outbound_link.js';
import type { PayloadStream } from '../mesh/payload_stream.js';
import type { OnRefused } from './door/refusals.js';
import { settled } from './links/settling.js';
import type { TlsOptions } from '../base/tls.js';
import { WsServer } from './door/ws_server.js';

const DATA_PATH = '/expertwire/data';

/** Who this rank is, where the others are, and what proves that they belong together. */
export interface WsMeshOptions extends MeshLimits {
  readonly rank: Rank;
  readonly size: number;
  /** Of every rank's data server, by rank; the own entry isn't used. */
  readonly addresses: readonly Address[];
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

const IDENTITY = z.object({ from: z.number(), to: z.number(), fingerprint: z.string(), jobId: z.string() });

class WsMesh extends MeshBase {
  /** Hidden from whoever looks at the object: a secret is in it. */
  readonly #options: WsMeshOptions;
  /** By rank; none to the own. */
  private readonly links: readonly (Link | undefined)[];
  private numCopies = 0;
  private copiedBytes = 0;
  /** While linking: something changed, or a peer was lost. */
  private onOpen: () => void = () => undefined;
  private onLost: (error: CommError) => void = () => undefined;

  constructor(options: WsMeshOptions) {
    super(options.rank, options.size, options);
    this.#options = options;
    this.links = Array.from({ length: options.size }, (_, peer) =>
      peer === options.rank ? undefined : this.newLink(asRank(peer)),
    );
  }

  async connect(): Promise<void> {
    const timeoutMs = checkTimeout(this.#options.timeoutMs ?? 10000);
    const failed = new AbortController();
    setMaxListeners(this.size + 1, failed.signal); // one per dial
    const { signal } = this.#options;
    const onAbort = (): void => failed.abort(signal?.reason);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort);
    try {
      await Promise.all([this.linked(timeoutMs, failed.signal), ...this.dialAll(timeoutMs, failed.signal)]);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      failed.abort();
    }
  }

  override stats(): MeshStats {
    const writes = this.links.reduce((sum, link) => sum + (link?.numWrites ?? 0), 0);
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

  protected override async disconnect(): Promise<void> {
    await Promise.all(this.links.map(async (link) => link?.close()));
    await this.#options.server.close();
  }

  private newLink(peer: Rank): Link {
    return new Link({
      onOpen: () => this.onOpen(),
      onLost: (why, code) => {
        this.lose(peer, why, code);
        const message = `rank ${peer} was lost while rank ${this.rank} linked up: ${why}; look at the log of rank ${peer}`;
        this.onLost(new CommError(code, message, { rank: peer, phase: 'link' }));
      },
    });
  }

  private dialAll(timeoutMs: number, signal: AbortSignal): Promise<void>[] {
    return this.links.flatMap((link, peer) =>
      link === undefined ? [] : this.dial(asRank(peer), link, timeoutMs, signal),
    );
  }

  private async dial(peer: Rank, link: Link, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { addresses, secret, fingerprint, jobId, tls } = this.#options;
    const identity = { from: this.rank, to: peer, fingerprint, jobId };
    const { host, port } = addresses[peer]!;
    const common = { path: DATA_PATH, secret, purpose: 'data', maxPayload: MAX_HANDSHAKE_BYTES, tls } as const;
    const { window, maxFrameBytes, memory } = this;
    try {
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

  /** Resolves when frames can travel to and from every other rank. */
  private linked(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        deadline.cancel();
        signal.removeEventListener('abort', onAbort);
        this.onOpen = this.onLost = (): void => undefined;
      };
      const fail = (error: CommError): void => {
        settle();
        reject(error);
      };
      const deadline = new Deadline(timeoutMs, () => fail(this.missingError('TIMEOUT', timeoutMs)));
      const onAbort = (): void => fail(this.missingError('ABORTED', timeoutMs));
      this.onLost = fail;
      this.onOpen = (): void => {
        if (this.missing().length > 0) return;
        settle();
        resolve();
      };
      signal.addEventListener('abort', onAbort);
      this.listen();
      if (signal.aborted) onAbort();
      else this.onOpen();
    });
  }

  private missingError(code: 'TIMEOUT' | 'ABORTED', timeoutMs: number): CommError {
    const missing = this.missing();
    const what = code === 'TIMEOUT' ? `after ${timeoutMs} ms` : 'linking was ended';
    const message = `${what}, rank ${missing.join(', ')} isn't linked to rank ${this.rank}; look at the log of rank ${missing[0]!}`;
    const why = code === 'TIMEOUT' ? { waitedMs: timeoutMs } : { cause: this.#options.signal?.reason as unknown };
    return new CommError(code, message, { rank: missing[0], phase: 'link', ...why });
  }

  private listen(): void {
    const { server, secret } = this.#options;
    const { window } = this;
    server.onPeer({
      ...{ secret, purpose: 'data' },
      admit: (identity) => this.admit(identity),
      onPeer: (ws, socket, identity) => {
        const link = this.links[IDENTITY.parse(identity).from]!;
        link.setOutbound((events) => new OutboundLink(ws, socket, { window, ...events }));
      },
    });
  }

  /** @throws CommError why a dialing rank is not let in. */
  private admit(identity: unknown): void {
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
    const link = this.links[data.from];
    if (data.to !== rank || link === undefined) {
      throw new CommError(
        'PROTOCOL',
        `rank ${data.from} dials ${data.to} but this is rank ${rank} of ${size}; check the addresses`,
      );
    }
    if (data.fingerprint !== fingerprint) throw fingerprintMismatch(data.from, data.fingerprint, rank, fingerprint);
    if (link.hasOutbound) {
      throw new CommError('PROTOCOL', `rank ${data.from} has a link already; start each rank once`);
    }
  }

  private missing(): Rank[] {
    return this.links.flatMap((link, peer) => (link === undefined || link.isOpen ? [] : asRank(peer)));
  }
}

/** Two ranks with different checkpoints. */
export function fingerprintMismatch(rankA: number, a: string, rankB: number, b: string): CommError {
  const message =
    `rank ${rankA} loaded ${a.slice(0, 12)}, rank ${rankB} loaded ${b.slice(0, 12)}; ` +
    'give every rank the same model folder';
  return new CommError('FINGERPRINT_MISMATCH', message, { rank: asRank(rankA), phase: 'join' });
}
