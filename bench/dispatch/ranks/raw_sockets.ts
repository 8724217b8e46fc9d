/** Bare TCP between every pair of processes: what the transport is measured against. Counts bytes, looks at none. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Address } from '../../../comm/index.js';
import type { RawKind } from '../base/orders.js';

const READ_BUFFER_BYTES = 256 * 1024;
const ONE_BYTE = new Uint8Array(1);

/** The sockets of one process to all others; `connect` says how the two kinds differ. */
export class RawSockets {
  private readonly out: (Socket | undefined)[];
  private readonly received: number[];
  private readonly expected: number[];
  private server: Server | undefined;
  private linked: () => void = () => undefined;
  private waiting: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor(
    private readonly kind: RawKind,
    private readonly rank: number,
    private readonly size: number,
  ) {
    this.out = new Array<Socket | undefined>(size).fill(undefined);
    this.received = new Array<number>(size).fill(0);
    this.expected = new Array<number>(size).fill(0);
  }

  /** The port on which others dial. */
  listen(): Promise<number> {
    this.server = createServer((socket) => this.accept(socket));
    return new Promise((resolve, reject) => {
      const server = this.server!.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
  }

  /**
   * `naive`: one socket per pair, which the higher rank dials. `tuned`: each rank dials every other and only receives there, because
   * Node offers `onread` to dialers alone. Resolves when this rank can send to every other.
   */
  connect(addresses: readonly Address[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.linked = () => {
        if (this.out.filter((socket) => socket !== undefined).length === this.size - 1) resolve();
      };
      for (const peer of this.peers()) {
        if (this.kind === 'tuned' || peer < this.rank) this.dial(peer, addresses[peer]!).once('error', reject);
      }
      this.linked();
    });
  }

  /** All other processes, ascending. */
  peers(): number[] {
    return Array.from({ length: this.size }, (_, peer) => peer).filter((peer) => peer !== this.rank);
  }

  /** Hands the bytes to the socket to a peer, without a copy and without waiting. */
  send(peer: number, bytes: Uint8Array): void {
    this.out[peer]!.write(bytes);
  }

  /** Says that so many more bytes will come from a peer. */
  expect(peer: number, bytes: number): void {
    this.expected[peer]! += bytes;
  }

  /** Resolves once all expected bytes came. One caller at a time. */
  arrived(): Promise<void> {
    if (this.hasAll()) return Promise.resolve();
    return new Promise((resolve, reject) => (this.waiting = { resolve, reject }));
  }

  /** One byte to and from every peer. */
  async barrier(): Promise<void> {
    for (const peer of this.peers()) {
      this.expect(peer, 1);
      this.send(peer, ONE_BYTE);
    }
    await this.arrived();
  }

  private dial(peer: number, { host, port }: Address): Socket {
    const onread = { buffer: Buffer.alloc(READ_BUFFER_BYTES), callback: (n: number) => this.count(peer, n) };
    const socket = this.kind === 'tuned' ? connect({ host, port, onread }) : connect({ host, port });
    this.watch(peer, socket);
    socket.once('connect', () => {
      socket.write(Uint8Array.of(this.rank)); // says who dials
      if (this.kind === 'naive') this.duplex(peer, socket);
    });
    return socket;
  }

  private accept(socket: Socket): void {
    socket.once('data', (first: Buffer) => {
      const peer = first[0]!;
      this.watch(peer, socket);
      if (this.kind === 'naive') this.duplex(peer, socket);
      else this.out[peer] = socket;
      this.linked();
    });
  }

  private duplex(peer: number, socket: Socket): void {
    socket.on('data', (chunk: Buffer) => this.count(peer, chunk.byteLength));
    this.out[peer] = socket;
    this.linked();
  }

  private watch(peer: number, socket: Socket): void {
    socket.setNoDelay(true);
    socket.on('error', () => undefined); // 'close' follows
    socket.once('close', () => this.waiting?.reject(new Error(`the raw socket to process ${peer} closed`)));
  }

  private count(peer: number, bytes: number): boolean {
    this.received[peer]! += bytes;
    if (this.waiting !== undefined && this.hasAll()) {
      const { resolve } = this.waiting;
      this.waiting = undefined;
      resolve();
    }
    return true; // keeps `onread` reading
  }

  private hasAll(): boolean {
    return this.received.every((bytes, peer) => bytes >= this.expected[peer]!);
  }
}
