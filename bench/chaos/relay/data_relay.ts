/** What two ranks say to each other over the connection that one of them dialed goes through here, and can be cut, or held back in one direction. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Address } from '../../../comm/ws/door/dial.js';

/** A direction: what the dialer sends, or what it gets. */
export type Direction = 'sent' | 'got';

/** A port that stands for that of the rank that is dialed. */
export class DataRelay {
  readonly address: Address;
  private readonly connections = new Set<RelayedConnection>();
  private readonly silent = new Set<Direction>();

  /** At a free port. */
  static async open(target: Address): Promise<DataRelay> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
    return new DataRelay(server, target);
  }

  private constructor(
    private readonly server: Server,
    target: Address,
  ) {
    this.address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    server.on('connection', (dialer) => {
      const connection = new RelayedConnection(dialer, connect(target.port, target.host), this.silent);
      this.connections.add(connection);
      dialer.once('close', () => this.connections.delete(connection));
    });
  }

  /** As a pulled cable that both ends notice. */
  cut(): void {
    for (const connection of this.connections) connection.cut();
  }

  /** What comes from now on waits, as behind a firewall that forgot the connection: nobody notices. */
  silence(direction: Direction): void {
    this.silent.add(direction);
    for (const connection of this.connections) connection.heed();
  }

  /** What waits goes on. */
  heal(): void {
    this.silent.clear();
    for (const connection of this.connections) connection.heed();
  }

  /** Cuts all, and listens no more. */
  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

class RelayedConnection {
  constructor(
    private readonly dialer: Socket,
    private readonly listener: Socket,
    private readonly silent: ReadonlySet<Direction>,
  ) {
    this.join(dialer, listener, 'sent');
    this.join(listener, dialer, 'got');
  }

  cut(): void {
    this.dialer.destroy();
    this.listener.destroy();
  }

  heed(): void {
    this.steer(this.dialer, this.listener, 'sent');
    this.steer(this.listener, this.dialer, 'got');
  }

  private join(from: Socket, to: Socket, direction: Direction): void {
    from.setNoDelay(true);
    from.on('error', () => this.cut());
    from.on('close', () => to.destroy());
    from.on('data', (bytes) => {
      if (!to.write(bytes)) this.steer(from, to, direction);
    });
    to.on('drain', () => this.steer(from, to, direction));
    this.steer(from, to, direction);
  }

  /** Reads where anybody may have what is read. */
  private steer(from: Socket, to: Socket, direction: Direction): void {
    if (this.silent.has(direction) || to.writableNeedDrain) from.pause();
    else from.resume();
  }
}
