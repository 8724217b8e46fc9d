/** The mesh over WebSockets: one link per pair of ranks, the higher rank dials the lower. */
import { z } from 'zod';
import { Deadline, checkTimeout } from './deadline.js';
import { dial, type Address } from './dial.js';
import { CommError } from './errors.js';
import type { FrameHeader } from './frame.js';
import { ListenerHandshake } from './handshake.js';
import { shakeHands, type HandshakeOutcome } from './handshake_socket.js';
import { asRank, type Rank } from './ids.js';
import { Link, type LinkEvents } from './link.js';
import { DEFAULT_MAX_FRAME_BYTES, MeshBase, type MeshLimits } from './mesh_base.js';
import type { Mesh, MeshStats } from './mesh.js';
import { WsServer } from './ws_server.js';

const DATA_PATH = '/expertwire/data';

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
  /** How long to wait for all links. Default 10000. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Opens the port on which higher ranks will dial this one; `maxFrameBytes` as for the mesh. */
export function listenForPeers(address: Address, maxFrameBytes = DEFAULT_MAX_FRAME_BYTES): Promise<WsServer> {
  return WsServer.listen({ ...address, path: DATA_PATH, maxPayload: maxFrameBytes });
}

/**
 * Returns once this rank has a link to every other. Rejects with UNREACHABLE, TIMEOUT, ABORTED, AUTH_FAILED,
 * VERSION_MISMATCH, FINGERPRINT_MISMATCH or PROTOCOL; then everything it opened is closed, the server included.
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
  readonly #options: WsMeshOptions;
  readonly #links: (Link | undefined)[];
  #numCopies = 0;
  #onLink: () => void = () => undefined;

  constructor(options: WsMeshOptions) {
    super(options.rank, options.size, options);
    this.#options = options;
    this.#links = new Array<Link | undefined>(options.size).fill(undefined);
  }

  async connect(): Promise<void> {
    const timeoutMs = checkTimeout(this.#options.timeoutMs ?? 10000);
    const failed = new AbortController();
    const { signal } = this.#options;
    const onAbort = (): void => failed.abort(signal?.reason);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort);
    try {
      const links: Promise<void>[] = [this.#accepted(timeoutMs, failed.signal)];
      for (let peer = 0; peer < this.rank; peer += 1) links.push(this.#dial(asRank(peer), timeoutMs, failed.signal));
      await Promise.all(links);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      failed.abort();
    }
  }

  override stats(): MeshStats {
    return { ...super.stats(), copies: this.#numCopies };
  }

  protected override transmit(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    this.#links[to]!.send(header, payload);
  }

  protected override async disconnect(): Promise<void> {
    await Promise.all(this.#links.map(async (link) => link?.close()));
    await this.#options.server.close();
  }

  async #dial(peer: Rank, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { addresses, secret, fingerprint, jobId } = this.#options;
    const identity = { from: this.rank, to: peer, fingerprint, jobId };
    const { host, port } = addresses[peer]!;
    const common = { path: DATA_PATH, secret, purpose: 'data', maxPayload: this.maxFrameBytes } as const;
    try {
      await dial({ ...common, address: { host, port }, identity, timeoutMs, signal }, (ws, socket) => {
        this.#links[peer] = new Link(ws, socket, this.#eventsOf(peer));
      });
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      const message = `rank ${this.rank} can't link to rank ${peer}: ${error.message}`;
      throw new CommError(error.code, message, { rank: peer, phase: 'link', cause: error });
    }
  }

  /** Resolves when every higher rank has dialed. */
  #accepted(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (code: 'TIMEOUT' | 'ABORTED', what: string): void => {
        const missing = this.#missing();
        const message = `${what}, rank ${missing.join(', ')} didn't dial rank ${this.rank}; look at the log of rank ${missing[0]!}`;
        reject(new CommError(code, message, { rank: missing[0], phase: 'link', waitedMs: timeoutMs }));
      };
      const deadline = new Deadline(timeoutMs, () => fail('TIMEOUT', `after ${timeoutMs} ms`));
      const onAbort = (): void => {
        deadline.cancel();
        fail('ABORTED', 'linking was ended');
      };
      this.#onLink = () => {
        if (this.#missing().length > 0) return;
        deadline.cancel();
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      signal.addEventListener('abort', onAbort);
      this.#listen();
      this.#onLink();
    });
  }

  #listen(): void {
    const { server, secret } = this.#options;
    server.onSocket((ws, socket) => {
      const side = new ListenerHandshake({ secret, purpose: 'data' }, (identity) => this.#admit(identity));
      const onOutcome = (outcome: HandshakeOutcome): void => {
        if (outcome.kind === 'refused') return;
        const { from } = IDENTITY.parse(outcome.identity);
        this.#links[from] = new Link(ws, socket, this.#eventsOf(asRank(from)));
        this.#onLink();
      };
      shakeHands(ws, side, onOutcome, { stranger: socket });
      ws.send(side.challenge());
    });
  }

  /** Throws why a dialing rank is not let in. */
  #admit(identity: unknown): void {
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
    if (data.to !== rank || !Number.isInteger(data.from) || data.from <= rank || data.from >= size) {
      throw new CommError(
        'PROTOCOL',
        `rank ${data.from} dials ${data.to} but this is rank ${rank} of ${size}; check the addresses`,
      );
    }
    if (data.fingerprint !== fingerprint) throw fingerprintMismatch(data.from, data.fingerprint, rank, fingerprint);
    if (this.#links[data.from] !== undefined) {
      throw new CommError('PROTOCOL', `rank ${data.from} has a link already; start each rank once`);
    }
  }

  #eventsOf(peer: Rank): LinkEvents {
    return {
      onFrame: (frame, copied) => {
        if (copied) this.#numCopies += 1;
        return this.accept(peer, frame);
      },
      onLost: (why, code) => this.lose(peer, why, code),
    };
  }

  #missing(): Rank[] {
    const missing: Rank[] = [];
    for (let peer = this.rank + 1; peer < this.size; peer += 1) {
      if (this.#links[peer] === undefined) missing.push(asRank(peer));
    }
    return missing;
  }
}

/** Two ranks with different checkpoints. */
export function fingerprintMismatch(rankA: number, a: string, rankB: number, b: string): CommError {
  const message =
    `rank ${rankA} loaded ${a.slice(0, 12)}, rank ${rankB} loaded ${b.slice(0, 12)}; ` +
    'give every rank the same model folder';
  return new CommError('FINGERPRINT_MISMATCH', message, { rank: asRank(rankA), phase: 'join' });
}
