/** The head's port, through the start of a job and while it runs: whoever proves the job secret and says that it joins comes in. */
import { Deadline } from '../base/deadline.js';
import { CommError } from '../base/errors.js';
import type { TlsOptions } from '../base/tls.js';
import type { OnRefused } from '../ws/door/refusals.js';
import { WsServer } from '../ws/door/ws_server.js';
import { ControlLink, dismiss } from './control_link.js';
import type { Door } from './door.js';
import { MAX_CONTROL_BYTES, type ControlMessage } from './messages.js';

export const CONTROL_PATH = '/expertwire/control';

/** How long who proved the secret may take to say that it joins. */
const JOIN_MS = 30_000;

/** Where ranks find the head, and what proves that they may. */
export interface ControlPortOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly secret: string;
  /** The head's certificate and who signed the ranks'. Default: no TLS. */
  readonly tls?: TlsOptions | undefined;
  /** A rank or stranger that was turned away, and why: each reason once per address, a few a minute. */
  readonly onRefused?: OnRefused | undefined;
}

/** What is done with the first message of who comes: it is called before any door is open. */
export type OnArrival = (link: ControlLink, message: ControlMessage) => void;

/** A port that listens, and all links that came of it. */
export class ControlPort {
  private readonly connected = new Set<ControlLink>();
  /** Who came too early for the door, and what it said. */
  private readonly early = new Map<ControlLink, ControlMessage>();
  private door: Door | undefined;

  /** @throws CommError ADDRESS_IN_USE, UNREACHABLE when the host isn't this machine's, or INVALID_ARGUMENT */
  static async listen({ host, port, tls, onRefused, secret }: ControlPortOptions): Promise<ControlPort> {
    const limits = { path: CONTROL_PATH, maxPayload: MAX_CONTROL_BYTES };
    const server = await WsServer.listen({ host, port, tls, onRefused, ...limits });
    return new ControlPort(server, secret);
  }

  private onArrival: OnArrival = (link, message) => this.keep(link, message);
  /** Hidden from whoever looks at the object. */
  readonly #options: string;

  private constructor(
    private readonly server: WsServer,
    secret: string,
  ) {
    this.#options = secret;
  }

  get host(): string {
    return this.server.host;
  }

  get port(): number {
    return this.server.port;
  }

  /** Lets them come, one after the other. Once. */
  accept(onArrival: OnArrival): void {
    this.onArrival = onArrival;
    this.server.onPeer({
      ...{ secret: this.#options, purpose: 'control' },
      admit: () => undefined,
      onPeer: (ws, socket) => this.connect(new ControlLink(ws, socket)),
    });
  }

  /** Who came now may have come for the door. */
  keep(link: ControlLink, message: ControlMessage): void {
    this.early.set(link, message);
    link.onMessage(undefined);
    void link.closed.then(() => this.early.delete(link));
  }

  /** All that come go to the door from now on, those first who were kept for it. */
  openTo(door: Door): void {
    this.door = door;
    for (const [link, message] of this.early) door.join(link, message);
    this.early.clear();
  }

  /** Tells who is turned away, and whoever wants to know. */
  turnAway(link: ControlLink, error: CommError): void {
    this.refuse(link.remoteAddress, error);
    dismiss(link, error);
  }

  /** Tells of who is turned away. */
  readonly refuse = (from: string, error: CommError): void => this.server.refuse(from, error);

  /** Closes all links and the port. */
  async close(): Promise<void> {
    this.door?.close(new CommError('CLOSED', 'the job has ended; start it again'));
    await Promise.all([...this.connected].map((link) => link.close()));
    await this.server.close();
  }

  private connect(link: ControlLink): void {
    this.connected.add(link);
    const deadline = new Deadline(JOIN_MS, () => void link.close());
    void link.closed.then(() => {
      deadline.cancel();
      this.connected.delete(link);
    });
    link.onMessage((message) => {
      deadline.cancel();
      if (this.door === undefined) this.onArrival(link, message);
      else this.door.join(link, message);
    });
  }
}
