/** What one rank did when: laps of compute and flights of bytes, collected per step and for a trace. Pure but for the clock. */
import type { FrameSpan, Span } from '../../comm/all_to_all/exchange/span.js';
import type { LapPlace, StepPhase } from '../../compute/base/stopwatch.js';

/** One stretch of time on one rank. */
export interface TimelineEvent {
  readonly name: string;
  /**
   * compute: the rank's one thread; rows: frames made and read, which is part of that too; bytes: between the last frame sent and the last one arrived; sent,
   * received: rows of experts that move, beside the step.
   */
  readonly track: 'compute' | 'rows' | 'bytes' | 'sent' | 'received';
  /** Microseconds since 1970, on this machine's clock. */
  readonly startUs: number;
  readonly durationUs: number;
  readonly step: number;
  readonly layer?: number;
  readonly microBatch?: number;
  /** Of rows of experts. */
  readonly numFrames?: number;
  readonly bytes?: number;
  /** Frames that left in it, and those that came. */
  readonly sent?: readonly SentFrame[];
  readonly received?: readonly ReceivedFrame[];
}

/** A frame to a rank, or from one. */
export interface SentFrame {
  readonly rank: number;
  readonly rows: number;
  /** On the wire, header included. */
  readonly bytes: number;
}

/** A frame from a rank. */
export interface ReceivedFrame extends SentFrame {
  /** When it came: microseconds since 1970, on the clock of the rank that it came to. */
  readonly atUs: number;
}

/** Collects what happens on one rank. */
export class Timeline {
  private events: TimelineEvent[] = [];
  /** Of the laps that come; spans know their own. */
  step = 0;

  /** For a Stopwatch. */
  readonly onLap = (phase: StepPhase, place: LapPlace, startMs: number, endMs: number): void => {
    if (endMs > startMs) this.add(phase, 'compute', startMs, endMs, { step: this.step, ...place });
  };

  /** For an all-to-all. */
  readonly onSpan = ({ phase, part, tag, startMs, endMs, sent, received }: Span): void => {
    const { step, layer, microBatch } = tag;
    const track = part === 'flight' ? 'bytes' : 'rows';
    this.add(`${phase} ${part}`, track, startMs, endMs, {
      ...{ step, layer, microBatch },
      ...(sent !== undefined && { sent: sent.map(sentFrame) }),
      ...(received !== undefined && {
        received: received.map((frame) => ({ ...sentFrame(frame), atUs: sinceEpochUs(frame.arrivedMs) })),
      }),
    });
  };

  /** The events since the last call; forgets them. */
  take(): TimelineEvent[] {
    const { events } = this;
    this.events = [];
    return events;
  }

  private add(
    name: string,
    track: TimelineEvent['track'],
    startMs: number,
    endMs: number,
    place: Omit<TimelineEvent, 'name' | 'track' | 'startUs' | 'durationUs'>,
  ): void {
    this.events.push(timelineEvent(name, track, startMs, endMs, place));
  }
}

/** An event from `startMs` to `endMs`, in ms of `performance.now()`. */
export function timelineEvent(
  name: string,
  track: TimelineEvent['track'],
  startMs: number,
  endMs: number,
  rest: Omit<TimelineEvent, 'name' | 'track' | 'startUs' | 'durationUs'>,
): TimelineEvent {
  const startUs = sinceEpochUs(startMs);
  // Of two stretches of which one begins where the other ends, both say the same moment, to the last digit.
  return { name, track, startUs, durationUs: Math.max(0, sinceEpochUs(endMs) - startUs), ...rest };
}

const sinceEpochUs = (ms: number): number => 1000 * (performance.timeOrigin + ms);

const sentFrame = ({ peer, numRows, bytes }: FrameSpan): SentFrame => ({ rank: peer, rows: numRows, bytes });

/** How long bytes flew, and how much of that time the rank also computed, in microseconds. */
export interface Overlap {
  readonly flownUs: number;
  readonly hiddenUs: number;
}

/** Of the events of one rank. */
export function overlapOf(events: readonly TimelineEvent[]): Overlap {
  const isCompute = ({ track, name }: TimelineEvent): boolean => track === 'compute' && COMPUTE.has(name);
  const flights = unionOf(events.filter(({ track }) => track === 'bytes'));
  const computes = unionOf(events.filter(isCompute));
  let hiddenUs = 0;
  for (const [from, to] of flights) {
    for (const [start, end] of computes) hiddenUs += Math.max(0, Math.min(to, end) - Math.max(from, start));
  }
  return { flownUs: flights.reduce((sum, [from, to]) => sum + to - from, 0), hiddenUs };
}

/** Laps in which the rank does something but exchange. */
const COMPUTE: ReadonlySet<string> = new Set<StepPhase>(['attention', 'gate', 'experts', 'sampling', 'other']);

/** Disjoint intervals that cover the same time. */
function unionOf(events: readonly TimelineEvent[]): (readonly [number, number])[] {
  const sorted = events.map(({ startUs, durationUs }) => [startUs, startUs + durationUs] as const);
  sorted.sort(([a], [b]) => a - b);
  const union: [number, number][] = [];
  for (const [from, to] of sorted) {
    const last = union.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else union.push([from, to]);
  }
  return union;
}
