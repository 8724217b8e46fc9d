/**
 * Connections that haven't proved the job secret yet: so many at a time and from one address, each for so long. Where there are too many, the oldest of the address
 * with the most goes, those first that have said nothing: who knows the secret says so at once, and gets in beside any number of idle connections.
 * Why: docs/decisions/start.md#strangers-push-out-strangers
 */
import type { Socket } from 'node:net';

/** How many connections may be strangers, for how many milliseconds, and who is told when one has to go. */
export interface StrangersOptions {
  readonly maxStrangers: number;
  readonly maxPerAddress: number;
  readonly timeoutMs: number;
  /** A connection's time is over; it is destroyed after the call. */
  onExpired(socket: Socket): void;
  /** It makes room for another; it is destroyed after the call. */
  onEvicted(socket: Socket): void;
}

interface Stranger {
  readonly socket: Socket;
  readonly address: string;
  readonly timer: NodeJS.Timeout;
  /** It has begun to shake hands. */
  hasSpoken: boolean;
}

/** The connections of one port that are to prove themselves; those whose time is over or that make room are destroyed. */
export class Strangers {
  /** In the order in which they came, by both ends' addresses, because a TLS socket and the TCP socket under it have only those in common. */
  private readonly strangers = new Map<string, Stranger>();

  constructor(private readonly options: StrangersOptions) {}

  /** Counts a new connection, until it closes or is welcome; where there are too many, an older one is destroyed. */
  add(socket: Socket): void {
    const { maxStrangers, maxPerAddress, timeoutMs } = this.options;
    const address = socket.remoteAddress ?? '';
    if (this.of(address).length >= maxPerAddress) this.evictFrom(address);
    else if (this.strangers.size >= maxStrangers) this.evictFrom(this.busiestAddress());
    const timer = setTimeout(() => {
      this.options.onExpired(socket);
      socket.destroy();
    }, timeoutMs);
    const id = idOf(socket);
    const stranger = { socket, address, timer, hasSpoken: false };
    this.strangers.set(id, stranger);
    socket.once('close', () => this.forget(id, stranger));
  }

  /** It has begun to shake hands. */
  spoke(socket: Socket): void {
    const stranger = this.strangers.get(idOf(socket));
    if (stranger !== undefined) stranger.hasSpoken = true;
  }

  /** It proved itself. */
  welcome(socket: Socket): void {
    const id = idOf(socket);
    this.forget(id, this.strangers.get(id));
  }

  private of(address: string): Stranger[] {
    return [...this.strangers.values()].filter((stranger) => stranger.address === address);
  }

  private busiestAddress(): string {
    const counts = new Map<string, number>();
    for (const { address } of this.strangers.values()) counts.set(address, (counts.get(address) ?? 0) + 1);
    return [...counts].reduce((most, each) => (each[1] > most[1] ? each : most))[0];
  }

  private evictFrom(address: string): void {
    const all = this.of(address);
    const { socket } = all.find(({ hasSpoken }) => !hasSpoken) ?? all[0]!;
    this.options.onEvicted(socket);
    this.welcome(socket); // counted no longer, also while it closes
    socket.destroy();
  }

  private forget(id: string, stranger: Stranger | undefined): void {
    if (stranger === undefined || this.strangers.get(id) !== stranger) return;
    clearTimeout(stranger.timer);
    this.strangers.delete(id);
  }
}

const idOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket): string =>
  `${remoteAddress ?? ''} ${remotePort ?? 0} ${localAddress ?? ''} ${localPort ?? 0}`;
