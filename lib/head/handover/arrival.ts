/**
 * One request that goes on here, from its admission to its first step: its keys and values are pulled in stages behind what was found of it, the source pauses for
 * the last one, and hears that it goes on here. Whatever fails, what is known goes on, and what isn't here is computed anew.
 * Why: docs/decisions/handover.md#one-way-for-all-that-moves-between-instances
 */
import type { Address } from '../../../comm/ws/door/dial.js';
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import type { ArrivalPlace } from '../scheduling/sequence_arrivals.js';
import type { ArrivalCounter } from './arrival_counts.js';
import type { FollowedSource } from './followed_source.js';
import type { Pulls } from './pulls.js';
import { Patience } from '../kv/patience.js';
import { nextStage, type Stage, type StageLimits } from './stages.js';

/** Who holds the sequence's place, as {@link Scheduler} does. */
export interface ArrivalHost {
  learn(sequence: number, outputTokenIds: readonly number[]): void;
  land(sequence: number, numTokens: number, numExact: number): void;
  /** It goes on, with these tokens of output. */
  endArrival(sequence: number, outputTokenIds: readonly number[]): void;
  /** What no source and no rank can have done. */
  failArrival(sequence: number, error: unknown): void;
}

/** How it comes. */
export interface ArrivalLimits extends StageLimits {
  readonly wire: KvDtype;
  /** Tries of one pull before its tokens are computed anew. */
  readonly maxTries: number;
  /** How long a pull of so many tokens may take once all of them can be read. */
  readonly pullMs: (numTokens: number) => number;
}

/** Who comes, and what from. */
export interface ArrivalParts {
  readonly sequence: number;
  readonly numPromptTokens: number;
  readonly followed: FollowedSource;
  readonly host: ArrivalHost;
  readonly pulls: Pulls;
  readonly limits: ArrivalLimits;
  /** Keys and values there are what they would be here. */
  readonly canPull: boolean;
  /** Bit by bit, so that others may share them. */
  readonly isExact: boolean;
  readonly isStreamed: boolean;
  readonly counts: ArrivalCounter;
}

/** Until a sequence is elsewhere or all is told of it, which a source says in any case. */
const ALL_TOKENS = Number.MAX_SAFE_INTEGER;

/** Where it was, it isn't to come to any more, or it isn't to come at all. */
class GaveWay extends Error {}

/** Brings one sequence here. */
export class Arrival {
  private place: ArrivalPlace | null = null;
  /** Aborted when the place is lost, and replaced. */
  private leaving = new AbortController();
  private readonly cancelled = new AbortController();
  private onPlace: () => void = () => undefined;
  /** Tokens that are here, from the first one on. */
  private numHere = 0;
  private numStages = 0;
  /** Pulls that failed since one didn't. */
  private numFailed = 0;
  /** The source says nothing any more. */
  private isLost = false;
  private isDone = false;

  constructor(private readonly parts: ArrivalParts) {}

  /** Where it arrives by now. What was pulled to another place is not written any more when this returns. */
  settle(place: ArrivalPlace | null): void {
    if (place === this.place || this.isDone) return;
    this.leaving.abort(new GaveWay());
    this.leaving = new AbortController();
    this.place = place;
    this.numHere = place?.numComputed ?? 0;
    this.onPlace();
  }

  /** Its request ended: nothing more comes, and it goes on at its source. Nothing happens where it went on here. */
  cancel(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.cancelled.abort(new GaveWay());
    this.leaving.abort(new GaveWay());
    this.onPlace();
    this.parts.followed.rollback();
    this.parts.counts.numRolledBack++;
  }

  /** Its request is queued. */
  start(): void {
    this.run().catch((error: unknown) => this.parts.host.failArrival(this.parts.sequence, error));
  }

  /** Resolves when it went on here, or was cancelled. */
  private async run(): Promise<void> {
    while (!this.isDone) {
      try {
        await this.advance();
      } catch (error) {
        if (!(error instanceof GaveWay)) throw error;
      }
    }
  }

  private async advance(): Promise<void> {
    const { place, parts } = this;
    if (place === null) return this.untilPlaced();
    const { signal } = this.leaving;
    const stage = this.nextStage();
    switch (stage.kind) {
      case 'wait':
        return this.hear(() => parts.followed.more(stage.numTokens, signal), signal);
      case 'finish':
        return this.hear(() => parts.followed.finish(signal), signal);
      case 'pull':
        return this.pull(place, stage.to, signal);
      case 'go_on':
        this.goOn();
    }
  }

  private nextStage(): Stage {
    const { numPromptTokens, followed, limits, canPull, isStreamed } = this.parts;
    const { state, outputTokenIds } = followed;
    const { numHere, numStages } = this;
    if (this.isLost) return { kind: 'go_on' };
    return nextStage({
      ...{ ...limits, numPromptTokens, numHere, numStages, isStreamed },
      ...{ isFinal: state.isFinal, pausesItself: state.pausesItself },
      numOutputTokens: outputTokenIds.length,
      numReadable: state.numTokens,
      canPull: canPull && this.numFailed < limits.maxTries,
      place: state.place !== null ? 'there' : followed.wasPlaced ? 'away' : 'nowhere',
    });
  }

  private async untilPlaced(): Promise<void> {
    const { signal } = this.cancelled;
    const placed = new Promise<void>((resolve) => (this.onPlace = resolve));
    await this.beside(placed, signal);
    await this.hear(() => this.parts.followed.more(0, signal), signal);
  }

  /** Has the rank pull what is between what is here and `to`. */
  private async pull({ rank, blocks }: ArrivalPlace, to: number, signal: AbortSignal): Promise<void> {
    const { followed, pulls, limits, counts } = this.parts;
    const { lease, place } = followed.state;
    const inVain = new AbortController();
    const order = { lease, place: place!, wire: limits.wire, from: this.numHere, to, blocks: [...blocks] };
    const pulling = pulls.pull(rank, order, AbortSignal.any([signal, inVain.signal]));
    const patience = new Patience(limits.pullMs(to - this.numHere), () => inVain.abort(new InVain(limits.maxTries)));
    const onState = (): void => {
      if (this.isLost || !isSame(followed.state.place, place)) inVain.abort(new InVain(1));
      else if (followed.state.numTokens >= to) patience.begin();
    };
    onState();
    const report = await this.beside(pulling, signal, { numTokens: to, onState })
      .catch(failureOf)
      .finally(() => patience.end());
    if (report.error !== undefined) {
      this.numFailed += report.error instanceof InVain ? report.error.numTries : 1;
      counts.numFailedPulls++;
      return;
    }
    this.numFailed = 0;
    this.numStages++;
    this.numHere = to;
    counts.numPulls++;
    counts.pulledBytes += report.payloadBytes;
    // What is final is known already, and every turn counts: nobody computes it now.
    if (followed.state.isFinal) this.note();
    else await this.hear(() => followed.more(0, signal), signal);
  }

  /** Waits for something; meanwhile it is heard what becomes of the sequence at its source, that it has so many tokens for instance. */
  private async beside<T>(work: Promise<T>, signal: AbortSignal, watch: SourceWatch = {}): Promise<T> {
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    this.follow(both, watch).catch(() => undefined); // it was aborted
    try {
      return await work;
    } finally {
      stop.abort(new GaveWay());
    }
  }

  private async follow(signal: AbortSignal, { numTokens = 0, onState }: SourceWatch): Promise<void> {
    const { followed } = this.parts;
    while (!this.isLost) {
      const next = followed.state.numTokens < numTokens ? numTokens : ALL_TOKENS;
      await this.hear(() => followed.more(next, signal), signal);
      onState?.();
    }
  }

  /** The source says how far it is, or nothing any more. Rejects with the reason of `signal`. */
  private async hear(ask: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { counts } = this.parts;
    try {
      await ask();
    } catch {
      signal.throwIfAborted();
      this.isLost = true;
      counts.numLostSources++;
      return;
    }
    if (!signal.aborted) this.note();
  }

  /** What is known, and what is here of it: how exact that is, the source says when it has computed it. The sequence may give way for want of room. */
  private note(): void {
    const { host, sequence, followed, isExact } = this.parts;
    const { numTokens, numExactTokens } = followed.state;
    host.learn(sequence, followed.outputTokenIds);
    const numKnown = this.isLost ? Infinity : numTokens;
    if (this.place !== null) host.land(sequence, Math.min(this.numHere, numKnown), isExact ? numExactTokens : 0);
  }

  private goOn(): void {
    const { host, sequence, numPromptTokens, followed, counts } = this.parts;
    const { outputTokenIds, state } = followed;
    this.note();
    if (this.place === null) return;
    this.isDone = true;
    const numReadable = Math.min(state.numTokens, numPromptTokens + outputTokenIds.length - 1);
    if (this.numHere < numReadable) counts.numRecomputed++;
    host.endArrival(sequence, outputTokenIds);
    if (!this.isLost) followed.commit();
  }
}

/** Who waits for news of the source, and for how many tokens there. */
interface SourceWatch {
  readonly numTokens?: number;
  readonly onState?: () => void;
}

/** A pull that brings nothing any more; it counts as so many that failed. */
class InVain extends Error {
  constructor(readonly numTries: number) {
    super();
  }
}

function failureOf(error: unknown): { readonly error: InVain; readonly payloadBytes: 0 } {
  if (error instanceof InVain) return { error, payloadBytes: 0 };
  throw error;
}

const isSame = (a: Address | null, b: Address | null): boolean => a?.host === b?.host && a?.port === b?.port;
