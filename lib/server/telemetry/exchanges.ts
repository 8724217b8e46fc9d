/** Brings HTTP requests and the sequences of the engine together, by the request's id. */
import type { Answer, Arrival, EndedTrack, Exchange, ExchangeListener } from './exchange.js';
import type { RequestTrack, TrackEnd, TrackListener } from './request_track.js';
import type { Clock } from './telemetry_source.js';

interface Open extends Exchange {
  readonly tracks: EndedTrack[];
  /** Of the engine, for this request. */
  numRunning: number;
  answer: Answer | null;
}

/** How to say what becomes of a request. */
export interface OpenExchange {
  /** Its client calls it so too. */
  named(id: string): void;
  answered(answer: Omit<Answer, 'endMs'>): void;
}

/** Requests that are being answered. One ends when its answer is out and all of its sequences are over, whichever is later. */
export class Exchanges implements TrackListener {
  /** Where a client uses an id twice at a time, the later request. */
  private readonly byId = new Map<string, Open>();
  private readonly bySequence = new Map<number, Open>();

  constructor(
    private readonly listeners: readonly ExchangeListener[],
    private readonly clock: Clock,
  ) {}

  /** A request arrived. */
  arrived(arrival: Arrival): OpenExchange {
    const open: Open = { ...arrival, startMs: this.clock(), tracks: [], numRunning: 0, answer: null };
    const ids = [open.id];
    this.byId.set(open.id, open);
    for (const listener of this.listeners) listener.arrived?.(open);
    return {
      named: (id) => {
        if (open.answer !== null) return; // its client went before its body was read
        ids.push(id);
        this.byId.set(id, open);
      },
      answered: (answer) => {
        for (const id of ids) if (this.byId.get(id) === open) this.byId.delete(id);
        open.answer = { ...answer, endMs: this.clock() };
        this.settle(open);
      },
    };
  }

  /** A sequence belongs to the request that named it. */
  queued(track: RequestTrack): void {
    const { sequence, id } = track;
    const open = id === null ? undefined : this.find(id);
    if (open === undefined) return; // of somebody who uses the engine beside the server
    open.numRunning++;
    this.bySequence.set(sequence, open);
    for (const listener of this.listeners) listener.joined?.(open, track);
  }

  /** One of its sequences is over. */
  ended(track: RequestTrack, end: TrackEnd): void {
    const open = this.bySequence.get(track.sequence);
    if (open === undefined) return;
    this.bySequence.delete(track.sequence);
    open.tracks.push({ track, end });
    open.numRunning--;
    this.settle(open);
  }

  /** Choices of one request are numbered behind its id. */
  private find(id: string): Open | undefined {
    return this.byId.get(id) ?? this.byId.get(id.replace(/-\d+$/, ''));
  }

  private settle(open: Open): void {
    if (open.answer === null || open.numRunning > 0) return;
    for (const listener of this.listeners) listener.answered?.(open, open.answer);
  }
}
