/** What one rank did when: laps of compute and flights of bytes, collected per step and written as a Chrome trace. Pure but for the clock. */
import type { Span } from '../../comm/all_to_all/exchange/span.js';
import type { LapPlace, StepPhase } from '../../compute/base/stopwatch.js';

/** One stretch of time on one rank. */
export interface TimelineEvent {
  readonly name: string;
  /**
   * compute: the rank's one thread; bytes: between the last frame sent and the last one arrived; sent, received: rows of experts that move, beside
   * the step.
   */
  readonly track: 'compute' | 'bytes' | 'sent' | 'received';
  /** Microseconds since 1970, on this machine's clock. */
  readonly startUs: number;
  readonly durationUs: number;
  readonly step: number;
  readonly layer?: number;
  readonly microBatch?: number;
  /** Of rows of experts. */
  readonly numFrames?: number;
  readonly bytes?: number;
}

/** An event of the Trace Event Format, which chrome://tracing and Perfetto read; times in microseconds. */
export interface ChromeEvent {
  readonly name: string;
  /** A stretch of time, a name, a moment. */
  readonly ph: 'X' | 'M' | 'i';
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  /** A moment of a whole process. */
  readonly s?: 'p';
  readonly args: Readonly<Record<string, unknown>>;
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
  readonly onSpan = ({ phase, part, tag, startMs, endMs }: Span): void => {
    const { step, layer, microBatch } = tag;
    const track = part === 'flight' ? 'bytes' : 'compute';
    this.add(`${phase} ${part}`, track, startMs, endMs, { step, layer, microBatch });
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
    place: LapPlace & { readonly step: number },
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
  const startUs = 1000 * (performance.timeOrigin + startMs);
  return { name, track, startUs, durationUs: 1000 * Math.max(0, endMs - startMs), ...rest };
}

/** Names a rank and its tracks: first in a trace. */
export function chromeHead(rank: number, numMicroBatches: number): ChromeEvent[] {
  const tracks = Array.from({ length: numMicroBatches }, (_, i) => trackName(rank, 1 + i, `bytes, micro-batch ${i}`));
  const process: ChromeEvent = { name: 'process_name', ph: 'M', pid: rank, tid: 0, args: { name: `rank ${rank}` } };
  return [process, trackName(rank, 0, 'compute'), ...tracks];
}

/** Names the tracks of experts that move: before the first event of one, since most jobs have none. */
export const chromeMoveHead = (rank: number): ChromeEvent[] => [
  trackName(rank, MOVE_TIDS.sent, 'rows of experts sent'),
  trackName(rank, MOVE_TIDS.received, 'rows of experts received'),
];

const trackName = (rank: number, tid: number, name: string): ChromeEvent => ({
  ...{ name: 'thread_name', ph: 'M', pid: rank, tid },
  args: { name },
});

/** Below the tracks of any number of micro-batches. */
const MOVE_TIDS = { sent: 1001, received: 1002 } as const;

/** One event of a rank; micro-batches in flight at the same time have tracks of their own. */
export function chromeEvent(rank: number, event: TimelineEvent): ChromeEvent {
  const { name, track, startUs, durationUs, ...args } = event;
  return { name, ph: 'X', pid: rank, tid: tidOf(track, event.microBatch), ts: startUs, dur: durationUs, args };
}

/** The moment from which a rank runs with another version of the placement. */
export const chromeSwitch = (rank: number, version: number, { startUs, step }: TimelineEvent): ChromeEvent => ({
  ...{ name: `placement version ${version}`, ph: 'i', s: 'p', pid: rank, tid: 0, ts: startUs },
  args: { step, version },
});

/** Whether an event is rows of experts that went or came, and not part of the step itself. */
export const isMove = ({ track }: TimelineEvent): boolean => track === 'sent' || track === 'received';

function tidOf(track: TimelineEvent['track'], microBatch = 0): number {
  if (track === 'compute') return 0;
  return track === 'bytes' ? 1 + microBatch : MOVE_TIDS[track];
}

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
