/** A port that stands for another one, over a link: what goes through comes later, can be cut, or be held back in one direction. Needs no rights. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Address } from '../../comm/ws/door/dial.js';
import type { FineClock } from './fine_clock.js';
import type { Lane } from './lane.js';
import { OneWay } from './one_way.js';

/** A direction: what the dialer sends, or what it gets. */
export type Direction = 'sent' | 'got';

/** What its bytes pass. Lanes may be those of other ports, too: of the same two ends. */
export interface LinkLanes {
  readonly sent: Lane;
  readonly got: Lane;
  readonly clock: FineClock;
}

/** All connections that it takes go over one link. */
export class LinkPort {
  readonly address: Address;
  private readonly connections = new Set<Connection>();
  private readonly silent = new Set<Direction>();

  /** At a free port of this machine. */
  static async open(target: Address, lanes: LinkLanes): Promise<LinkPort> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen({ host: '127.0.0.1', port: 0 }, resolve);
    });
    return new LinkPort(server, target, lanes);
  }

  private constructor(
    private readonly server: Server,
    target: Address,
    lanes: LinkLanes,
  ) {
    this.address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    server.on('connection', (dialer) => {
      const listener = connect({ ...target, allowHalfOpen: true });
      const connection = new Connection(dialer, listener, lanes, this.silent);
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
    for (const connection of this.connections) connection.heed(this.silent);
  }

  /** What waits goes on. */
  heal(): void {
    this.silent.clear();
    for (const connection of this.connections) connection.heed(this.silent);
  }

  /** Cuts all, and listens no more. */
  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

class Connection {
  private readonly ways: Readonly<Record<Direction, OneWay>>;

  constructor(
    private readonly dialer: Socket,
    private readonly listener: Socket,
    { sent, got, clock }: LinkLanes,
    silent: ReadonlySet<Direction>,
  ) {
    for (const socket of [dialer, listener]) socket.setNoDelay(true).on('error', () => this.cut());
    this.ways = {
      sent: new OneWay(dialer, listener, sent, clock),
      got: new OneWay(listener, dialer, got, clock),
    };
    this.heed(silent);
  }

  cut(): void {
    this.dialer.destroy();
    this.listener.destroy();
  }

  heed(silent: ReadonlySet<Direction>): void {
    for (const direction of ['sent', 'got'] as const) this.ways[direction].silence(silent.has(direction));
  }
}
