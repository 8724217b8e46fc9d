/** A port that stands for the head's: ranks that join through it meet each other over relays too. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Address } from '../../comm/ws/door/dial.js';
import { FineClock } from './fine_clock.js';
import { Lane, type LinkLimits } from './lane.js';
import { LinkPort } from './link_port.js';
import { MessageCutter } from './message_cutter.js';
import { rewritten } from './rewritten.js';

/** From the rank that dials to the one that it dials. */
interface Route {
  readonly dialer: number;
  readonly listener: number;
  readonly port: LinkPort;
}

/** Links between ranks that can be limited, cut and silenced. Pairs and directions are independent, as behind a switch. */
export class ControlRelay {
  readonly port: number;
  private readonly routes: Route[] = [];
  /** By 'from to': all connections of two ranks share them. */
  private readonly lanes = new Map<string, Lane>();
  private readonly clock = new FineClock();
  private readonly connections = new Set<Socket>();
  private readonly target: Promise<Address>;
  private settleTarget!: (address: Address) => void;

  /** At a free port; ranks that come wait for {@link leadTo}. */
  static async open(limits: LinkLimits): Promise<ControlRelay> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
    return new ControlRelay(server, limits);
  }

  private constructor(
    private readonly server: Server,
    private readonly limits: LinkLimits,
  ) {
    this.port = (server.address() as AddressInfo).port;
    this.target = new Promise((resolve) => (this.settleTarget = resolve));
    server.on('connection', (rank) => {
      this.connections.add(rank);
      rank.once('close', () => this.connections.delete(rank));
      rank.on('error', () => rank.destroy());
      void this.target.then((head) => this.relay(rank, head));
    });
  }

  /** Where the head is. */
  leadTo(head: Address): void {
    this.settleTarget(head);
  }

  /** Ends the link between two ranks. */
  cut(a: number, b: number): void {
    for (const { port, dialer, listener } of this.routes) {
      if ((dialer === a && listener === b) || (dialer === b && listener === a)) port.cut();
    }
  }

  /** What a rank says reaches another one no more. */
  silence(from: number, to: number): void {
    for (const { port, dialer, listener } of this.routes) {
      if (dialer === from && listener === to) port.silence('sent');
      if (dialer === to && listener === from) port.silence('got');
    }
  }

  /** All hear each other again. */
  heal(): void {
    for (const { port } of this.routes) port.heal();
  }

  /** Cuts all, and listens no more. */
  async close(): Promise<void> {
    for (const connection of this.connections) connection.destroy();
    await Promise.all(this.routes.map(({ port }) => port.close()));
    await this.clock.close();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private relay(rank: Socket, target: Address): void {
    const head = connect(target.port, target.host);
    const cutter = new MessageCutter();
    let number = -1;
    /** What is rewritten takes a moment; the rest stays behind it. */
    let turn = Promise.resolve();
    const routeTo = (listener: number, address: Address): Promise<Address> => this.routeOf(number, listener, address);
    for (const [socket, other] of [
      [rank, head],
      [head, rank],
    ] as const) {
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
    }
    rank.on('close', () => head.destroy());
    head.on('close', () => void turn.then(() => rank.end()));
    rank.on('data', (bytes) => head.write(bytes));
    head.on('data', (bytes) => {
      for (const message of cutter.push(bytes)) {
        const told = rewritten(message, routeTo, (welcomed) => (number = welcomed));
        turn = turn.then(async () => void rank.write(await told));
      }
    });
  }

  private async routeOf(dialer: number, listener: number, address: Address): Promise<Address> {
    if (dialer === listener || address.port === 0) return address;
    const [sent, got] = [this.lane(dialer, listener), this.lane(listener, dialer)];
    const port = await LinkPort.open(address, { sent, got, clock: this.clock });
    this.routes.push({ dialer, listener, port });
    return port.address;
  }

  private lane(from: number, to: number): Lane {
    const name = `${from} ${to}`;
    const lane = this.lanes.get(name) ?? new Lane(this.limits);
    this.lanes.set(name, lane);
    return lane;
  }
}
