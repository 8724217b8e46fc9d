/**
 * Timelines as events of the Trace Event Format, which https://ui.perfetto.dev and chrome://tracing read: a process per rank. Pure.
 * Why: docs/decisions/measuring.md#a-trace-has-arrows
 */
import type { ReceivedFrame, SentFrame, TimelineEvent } from './timeline.js';

/** One event; times in microseconds. */
export interface ChromeEvent {
  readonly name: string;
  /** A stretch of time, a name, a moment, a figure over time, and where an arrow begins and ends. */
  readonly ph: 'X' | 'M' | 'i' | 'C' | 's' | 'f';
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  /** A moment of a whole process, or of all. */
  readonly s?: 'p' | 'g';
  /** Of an arrow: the same name, category and id at both ends. */
  readonly cat?: 'rows';
  readonly id?: number;
  /** An arrow ends at the stretch that its time lies in. */
  readonly bp?: 'e';
  readonly args: Readonly<Record<string, unknown>>;
}

/** Perfetto shows neither process 0 nor thread 0: those are a kernel's. */
export const pidOf = (rank: number): number => rank + 1;
const COMPUTE_TID = 1;
/** Below the tracks of any number of micro-batches. */
const MOVE_TIDS = { sent: 1001, received: 1002 } as const;

/** Names a rank and its tracks: first in a trace. */
export function chromeHead(rank: number, numMicroBatches: number): ChromeEvent[] {
  const bytes = Array.from({ length: numMicroBatches }, (_, i) =>
    named(rank, 'thread_name', tidOf('bytes', i), { name: `exchange, micro-batch ${i}` }),
  );
  return [
    named(rank, 'process_name', COMPUTE_TID, { name: `rank ${rank}` }),
    named(rank, 'process_sort_index', COMPUTE_TID, { sort_index: rank }),
    named(rank, 'thread_name', COMPUTE_TID, { name: 'compute' }),
    ...bytes,
  ];
}

/** Names the tracks of experts that move: before the first event of one, since most jobs have none. */
export const chromeMoveHead = (rank: number): ChromeEvent[] => [
  named(rank, 'thread_name', MOVE_TIDS.sent, { name: 'rows of experts sent' }),
  named(rank, 'thread_name', MOVE_TIDS.received, { name: 'rows of experts received' }),
];

const named = (rank: number, name: string, tid: number, args: ChromeEvent['args']): ChromeEvent => ({
  ...{ name, ph: 'M', pid: pidOf(rank), tid, args },
});

/** One stretch on a rank, and its ends of the arrows that begin or end in it. Micro-batches in flight at the same time have tracks of their own. */
export function chromeEvents(rank: number, event: TimelineEvent): ChromeEvent[] {
  const { name, track, startUs, durationUs, sent = [], received = [], ...place } = event;
  const at = { pid: pidOf(rank), tid: tidOf(track, event.microBatch) };
  const args = { ...place, ...trafficArgs('sent', 'to', sent), ...trafficArgs('received', 'from', received) };
  const slice: ChromeEvent = { name, ph: 'X', ...at, ts: startUs, dur: durationUs, args };
  const arrow = (from: number, to: number) => ({ ...arrowOf(event, from, to), ...at });
  const endUs = startUs + durationUs;
  return [
    slice, // before its arrows, which belong to what is there already
    ...sent.filter(hasRows).map((frame): ChromeEvent => ({ ...arrow(rank, frame.rank), ph: 's', ts: startUs })),
    ...received.filter(hasRows).map((frame): ChromeEvent => {
      const ts = Math.min(endUs, Math.max(startUs, frame.atUs));
      return { ...arrow(frame.rank, rank), ph: 'f', bp: 'e', ts };
    }),
  ];
}

/** A frame that says that there are none is no arrow. */
const hasRows = ({ rows }: SentFrame): boolean => rows > 0;

/** Sums, and which rank had how much of it. */
function trafficArgs(what: string, direction: string, frames: readonly (SentFrame | ReceivedFrame)[]): object {
  if (frames.length === 0) return {};
  const sum = (of: 'rows' | 'bytes'): number => frames.reduce((all, frame) => all + frame[of], 0);
  const by = Object.fromEntries(
    frames.map(({ rank, rows, bytes }) => [`${direction} rank ${rank}`, `${rows} rows, ${bytes} bytes`]),
  );
  return { [`rows_${what}`]: sum('rows'), [`bytes_${what}`]: sum('bytes'), ...by };
}

/** Figures of one step of a rank. */
export interface StepCounters {
  readonly startUs: number;
  readonly sentBytes: { readonly dispatch: number; readonly combine: number };
  /** Choices of experts that the rank computed, of all MoE layers, and that beside the mean of the ranks; null: nobody said. */
  readonly load: { readonly choices: number; readonly ofMean: number } | null;
}

/** As figures over time, below a rank's tracks. */
export function chromeCounters(rank: number, { startUs, sentBytes, load }: StepCounters): ChromeEvent[] {
  const counter = (name: string, args: ChromeEvent['args']): ChromeEvent => ({
    ...{ name, ph: 'C', pid: pidOf(rank), tid: COMPUTE_TID, ts: startUs, args },
  });
  return [
    counter('bytes sent in a step', { ...sentBytes }),
    ...(load === null
      ? []
      : [
          counter('choices computed in a step', { choices: load.choices }),
          counter('load / mean', { ratio: load.ofMean }),
        ]),
  ];
}

/** The moment from which a rank runs with another version of the placement. */
export const chromeSwitch = (rank: number, version: number, { startUs, step }: TimelineEvent): ChromeEvent => ({
  ...{ name: `placement version ${version}`, ph: 'i', s: 'p', pid: pidOf(rank), tid: COMPUTE_TID, ts: startUs },
  args: { step, version },
});

/** Whether an event is rows of experts that went or came, and not part of the step itself. */
export const isMove = ({ track }: TimelineEvent): boolean => track === 'sent' || track === 'received';

function tidOf(track: TimelineEvent['track'], microBatch = 0): number {
  if (track === 'compute') return COMPUTE_TID;
  // One after the other: rows packed, bytes on their way, rows unpacked.
  return track === 'bytes' || track === 'rows' ? 1 + COMPUTE_TID + microBatch : MOVE_TIDS[track];
}

/** Of frames with rows; `_node`: over relays between nodes. */
const ROUNDS = ['dispatch', 'combine', 'dispatch_node', 'combine_node'];

/** What both ends of an arrow know. Ids come again after so many steps that nobody mistakes them. */
function arrowOf({ name, step, layer = 0, microBatch = 0 }: TimelineEvent, from: number, to: number) {
  const phase = name.split(' ', 1)[0]!;
  const parts = [
    [step, 2 ** 15],
    [layer, 2 ** 9],
    [microBatch, 2 ** 3],
    [ROUNDS.indexOf(phase), 4],
    [from, 2 ** 12],
    [to, 2 ** 12],
  ] as const;
  const id = parts.reduce((all, [part, size]) => all * size + (part % size), 0);
  return { name: phase, cat: 'rows', id, args: { step, layer } } as const;
}
