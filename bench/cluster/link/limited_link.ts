/** A port that stands for another one, over a link of so many bytes per second: what goes through waits as long as the link takes for it. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Address } from '../../../comm/ws/door/dial.js';

/** A link may be so far ahead of its time: timers are no finer. */
const AHEAD_MS = 1;

/** Both directions have the full rate, as those of a switched network; all connections of a direction share it. */
export class LimitedLink {
  readonly address: Address;
  private readonly sockets = new Set<Socket>();

  /** At a free port. */
  static async open(target: Address, bytesPerSecond: number): Promise<LimitedLink> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
    return new LimitedLink(server, target, bytesPerSecond);
  }

  private constructor(
    private readonly server: Server,
    target: Address,
    bytesPerSecond: number,
  ) {
    this.address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    const [there, back] = [new Lane(bytesPerSecond), new Lane(bytesPerSecond)];
    server.on('connection', (dialer) => {
      const listener = connect({ ...target, allowHalfOpen: true });
      void this.carry(dialer, listener, there);
      void this.carry(listener, dialer, back);
    });
  }

  /** Cuts all, and listens no more. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private async carry(from: Socket, to: Socket, lane: Lane): Promise<void> {
    this.sockets.add(from);
    from.setNoDelay(true);
    from.on('error', () => to.destroy());
    try {
      for await (const bytes of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        await lane.pass(bytes.length);
        if (!to.write(bytes)) await new Promise((resolve) => to.once('drain', resolve).once('close', resolve));
      }
    } catch {
      // It was cut: so is the other end.
    }
    this.sockets.delete(from);
    to.end();
  }
}

/** One direction. */
export class Lane {
  private freeAtMs = 0;

  constructor(
    private readonly bytesPerSecond: number,
    private readonly clock: () => number = () => performance.now(),
    private readonly wait: (ms: number) => Promise<unknown> = delay,
  ) {}

  /** Resolves when these bytes are through, behind all that came before. */
  async pass(numBytes: number): Promise<void> {
    this.freeAtMs = Math.max(this.freeAtMs, this.clock()) + (1000 * numBytes) / this.bytesPerSecond;
    const leftMs = this.freeAtMs - this.clock();
    if (leftMs > AHEAD_MS) await this.wait(leftMs - AHEAD_MS / 2);
  }
}
