/**
 * A TCP relay between a rank and the one it dials, which can cut, hold back, repeat, swap and spoil what flows towards the dialer:
 * that is where a data link carries its frames.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { MessageCutter } from '../../../bench/links/message_cutter.js';
import { FRAME_MAGIC } from '../../../comm/index.js';
import type { Address } from './exchange_job.js';

/** What becomes of the next frame. */
export type Treatment =
  | 'pass'
  | 'hold' // until `release`
  | 'repeat' // sent twice
  | 'swap' // sent after the frame behind it
  | 'spoil' // one bit of its header flipped
  | 'half'; // only its first half is sent, then the connection is cut

export class WireRelay {
  readonly address: Address;
  private readonly connections = new Set<RelayedConnection>();
  private treatment: Treatment = 'pass';

  static async open(target: Address): Promise<WireRelay> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
    return new WireRelay(server, target);
  }

  private constructor(
    private readonly server: Server,
    target: Address,
  ) {
    this.address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    server.on('connection', (dialer) => {
      const connection = new RelayedConnection(dialer, connect(target.port, target.host), () => this.treatment);
      this.connections.add(connection);
    });
  }

  /** Of frames that come from now on. */
  treat(treatment: Treatment): void {
    this.treatment = treatment;
  }

  /** Sends what was held back, and lets the rest pass. */
  release(): void {
    this.treatment = 'pass';
    for (const connection of this.connections) connection.release();
  }

  /** Cuts the connection, as a pulled cable that both ends notice. */
  cut(): void {
    for (const connection of this.connections) connection.cut();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

class RelayedConnection {
  private readonly cutter = new MessageCutter();
  private readonly held: Buffer[] = [];

  constructor(
    private readonly dialer: Socket,
    private readonly listener: Socket,
    private readonly treatmentOf: () => Treatment,
  ) {
    for (const [socket, other] of [
      [dialer, listener],
      [listener, dialer],
    ] as const) {
      socket.setNoDelay(true);
      socket.on('error', () => this.cut());
      socket.on('close', () => other.destroy());
    }
    dialer.on('data', (bytes) => listener.write(bytes));
    listener.on('data', (bytes) => {
      for (const message of this.cutter.push(bytes)) this.forward(message);
    });
  }

  release(): void {
    for (const message of this.held.splice(0)) this.dialer.write(message);
  }

  cut(): void {
    this.dialer.destroy();
    this.listener.destroy();
  }

  private forward(message: Buffer): void {
    const at = magicAt(message);
    const treatment = at < 0 ? 'pass' : this.treatmentOf();
    if (treatment === 'hold') this.held.push(message);
    else if (treatment === 'swap' && this.held.length === 0) this.held.push(message);
    else if (treatment === 'half') {
      this.dialer.write(message.subarray(0, message.length / 2), () => this.cut());
    } else {
      if (treatment === 'spoil') message[at]! ^= 1;
      this.dialer.write(message);
      if (treatment === 'repeat') this.dialer.write(message);
      if (treatment === 'swap') this.release();
    }
  }
}

/** Where an expertwire frame begins in a message; −1 in one of another kind. */
function magicAt(message: Buffer): number {
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(FRAME_MAGIC);
  const at = message.subarray(0, 14).indexOf(magic);
  return at;
}
