/** Connections that haven't proved the job secret yet: so many at a time, each for so long. */
import type { Socket } from 'node:net';

export interface StrangersOptions {
  readonly maxStrangers: number;
  readonly timeoutMs: number;
  /** A connection's time is over; it is destroyed after the call. */
  onExpired(socket: Socket): void;
}

export class Strangers {
  readonly #options: StrangersOptions;
  /** By the other end's address, because a TLS socket and the TCP socket under it have only that in common. */
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(options: StrangersOptions) {
    this.#options = options;
  }

  /** False when there are too many already: then the connection must be refused. */
  add(socket: Socket): boolean {
    const { maxStrangers, timeoutMs } = this.#options;
    if (this.#timers.size >= maxStrangers) return false;
    const id = idOf(socket);
    const timer = setTimeout(() => {
      this.#options.onExpired(socket);
      socket.destroy();
    }, timeoutMs);
    this.#timers.set(id, timer);
    socket.once('close', () => this.#forget(id, timer));
    return true;
  }

  /** It proved itself. */
  welcome(socket: Socket): void {
    const id = idOf(socket);
    this.#forget(id, this.#timers.get(id));
  }

  #forget(id: string, timer: NodeJS.Timeout | undefined): void {
    if (timer === undefined || this.#timers.get(id) !== timer) return;
    clearTimeout(timer);
    this.#timers.delete(id);
  }
}

const idOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket): string =>
  `${remoteAddress ?? ''} ${remotePort ?? 0} ${localAddress ?? ''} ${localPort ?? 0}`;
