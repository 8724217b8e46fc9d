/** A TCP relay before a server: it can break connections at a chosen moment, or stop passing bytes on while they all stay open, as a network does that lost its way. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class TcpRelay {
  private readonly sockets = new Set<Socket>();
  /** Of them, those to the server. */
  private readonly far = new Set<Socket>();
  private isFrozen = false;
  private numPieces = 0;
  private cutAt = Infinity;

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {
    server.on('connection', (socket) => this.relay(socket));
  }

  static async open(target: number): Promise<TcpRelay> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpRelay(server, target);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Nothing passes any more, and nobody is told. */
  freeze(): void {
    this.isFrozen = true;
    for (const socket of this.sockets) socket.pause();
  }

  /** All passes again. */
  thaw(): void {
    this.isFrozen = false;
    for (const socket of this.sockets) socket.resume();
  }

  /** What the server says doesn't come through any more; what it is told does. */
  holdAnswers(): void {
    for (const socket of this.far) socket.pause();
  }

  /** All connections break now; what comes later passes. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** All connections break when so many pieces came through, of both directions; what comes later passes. */
  cutAfter(numPieces: number): void {
    this.numPieces = 0;
    this.cutAt = numPieces;
  }

  /** The cut that was to come has come. */
  get isCut(): boolean {
    return this.numPieces >= this.cutAt;
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private relay(near: Socket): void {
    const far = connect(this.target, '127.0.0.1');
    this.far.add(far);
    far.on('close', () => this.far.delete(far));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.sockets.add(from);
      from.on('data', (bytes) => this.pass(bytes, to));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
      if (this.isFrozen) from.pause();
    }
  }

  private pass(bytes: Buffer, to: Socket): void {
    this.numPieces++;
    if (this.numPieces === this.cutAt) for (const socket of this.sockets) socket.destroy();
    else to.write(bytes);
  }
}
