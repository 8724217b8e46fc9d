/** The head's side of a job whose first head is gone: ranks that are linked to each other come back to the address that they know, with all that they hold. */
import { CommError } from '../base/errors.js';
import { asRank, type Rank } from '../../base/ids.js';
import { fingerprintMismatch } from '../ws/ws_mesh.js';
import type { ControlLink } from './control_link.js';
import { ControlPort, type ControlPortOptions } from './control_port.js';
import { Door, type DoorOptions, type DoorStart } from './door.js';
import { cameTooLate } from './join_errors.js';
import type { ControlMessage, ControlMessageOf } from './messages.js';

/** Which job it is, and who is told of what. */
export interface ReunionOptions extends ControlPortOptions {
  /** Its seats. */
  readonly size: number;
  /** What ranks hold, which is unchecked. @throws CommError why one can't come back */
  readonly check: (rank: Rank, holds: unknown) => void;
}

/** A rank that came back. */
export interface ReturnedRank {
  readonly rank: Rank;
  /** Its messages queue until `onMessage`. */
  readonly link: ControlLink;
  /** As it says. */
  readonly holds: unknown;
}

type Back = NonNullable<ControlMessageOf<'join'>['back']>;

/** An open port, and who came back to it. Whoever comes without having been there waits for {@link stayOpen}. */
export class Reunion {
  private readonly returned = new Map<Rank, ReturnedRank & { readonly back: Back }>();
  private readonly waiting = new Set<() => void>();
  private isOver = false;
  private closing: Promise<void> | undefined;

  /** @throws CommError as {@link ControlPort.listen} */
  static async listen(options: ReunionOptions): Promise<Reunion> {
    const { size, check } = options;
    return new Reunion({ size, check }, await ControlPort.listen(options));
  }

  private constructor(
    private readonly options: Pick<ReunionOptions, 'size' | 'check'>,
    private readonly entry: ControlPort,
  ) {
    entry.accept((link, message) => this.arrived(link, message));
  }

  get port(): number {
    return this.entry.port;
  }

  /** Who is back so far, by rank. */
  get ranks(): readonly ReturnedRank[] {
    return [...this.returned.values()].sort((a, b) => a.rank - b.rank);
  }

  /** Resolves when somebody comes back, or goes; with false when nobody did for so long. @throws the reason of the signal */
  async news(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    const isNews = await new Promise<boolean>((resolve) => {
      const settle = (hasCome: boolean): void => {
        clearTimeout(timer);
        this.waiting.delete(come);
        signal?.removeEventListener('abort', abort);
        resolve(hasCome);
      };
      const come = (): void => settle(true);
      const abort = (): void => settle(false);
      const timer = setTimeout(abort, timeoutMs);
      this.waiting.add(come);
      signal?.addEventListener('abort', abort);
    });
    signal?.throwIfAborted();
    return isNews;
  }

  /** The job goes on with those who are back, by rank: those who come back later are turned away. */
  settle(): readonly ReturnedRank[] {
    this.isOver = true;
    return this.ranks;
  }

  /** Others may come in from now on. Once, behind {@link settle}. */
  stayOpen(options: DoorOptions): Door {
    const seats = Array.from({ length: this.options.size }, (_, rank) => {
      const known = this.returned.get(asRank(rank));
      return known && { link: known.link, host: known.back.host, port: known.back.port };
    });
    const door = new Door({ seats, ...this.job!, refuse: this.entry.refuse }, options);
    this.entry.openTo(door);
    return door;
  }

  /** Idempotent: closes the port and all links. */
  close(): Promise<void> {
    this.closing ??= this.entry.close();
    return this.closing;
  }

  /** What the first who came back is a rank of. */
  private get job(): Pick<DoorStart, 'fingerprint' | 'jobId'> | undefined {
    return [...this.returned.values()][0]?.back;
  }

  private arrived(link: ControlLink, message: ControlMessage): void {
    if (message.type === 'join' && message.back === undefined) return this.entry.keep(link, message);
    try {
      this.takeBack(link, message);
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      this.entry.turnAway(link, error);
    }
  }

  /** @throws CommError why it can't come back */
  private takeBack(link: ControlLink, message: ControlMessage): void {
    if (message.type !== 'join' || message.back === undefined || message.rank === undefined) {
      throw new CommError('PROTOCOL', `'${message.type}' before 'join'; run the same build everywhere`);
    }
    if (this.isOver) throw cameTooLate();
    const { rank: number, back } = message;
    const rank = asRank(number);
    this.compare(rank, back);
    this.options.check(rank, back.body);
    if (this.returned.get(rank)?.link.isOpen === true) {
      throw new CommError('INVALID_ARGUMENT', `rank ${rank} is back already; end the other one that says so`, { rank });
    }
    this.returned.set(rank, { rank, link, holds: back.body, back });
    link.onMessage(undefined);
    void link.closed.then(() => {
      if (this.isOver || this.returned.get(rank)?.link !== link) return; // its owner knows, or it is back again
      this.returned.delete(rank);
      this.wake();
    });
    link.send({ type: 'welcome', rank, size: this.options.size, job: null });
    this.wake();
  }

  /** Whether it is a rank of the same job as those before it. */
  private compare(rank: Rank, { fingerprint, jobId }: Back): void {
    const { size } = this.options;
    if (rank >= size) {
      throw new CommError(
        'INVALID_ARGUMENT',
        `rank ${rank} came back to a job of ${size} seats; give it as many as before`,
      );
    }
    const [first] = this.returned.values();
    if (first === undefined) return;
    if (first.back.jobId !== jobId) {
      throw new CommError('INVALID_ARGUMENT', `rank ${rank} is of another job than rank ${first.rank}; end it`, {
        rank,
      });
    }
    if (first.back.fingerprint !== fingerprint) {
      throw fingerprintMismatch(rank, fingerprint, first.rank, first.back.fingerprint);
    }
  }

  private wake(): void {
    for (const resolve of [...this.waiting]) resolve();
  }
}
