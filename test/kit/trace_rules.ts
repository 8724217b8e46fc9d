/**
 * What the Trace Event Format and Perfetto's importer ask of a trace, by their documents: what breaks a rule is dropped there without a word.
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */

/** An event as a file has it. */
export interface FileEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly id?: number;
  readonly bp?: string;
  readonly args: Readonly<Record<string, unknown>>;
}

const trackOf = ({ pid, tid }: FileEvent): string => `${pid}/${tid}`;

/** Every rule that is broken, with the event that breaks it. */
export function traceComplaints(events: readonly FileEvent[]): string[] {
  const complaints: string[] = [];
  const complain = (what: string, event: FileEvent): void => void complaints.push(`${what}: ${JSON.stringify(event)}`);
  for (const event of events) {
    if (!Number.isInteger(event.pid) || !Number.isInteger(event.tid) || event.pid < 1 || event.tid < 1)
      complain('no process or thread', event);
    if (event.ph !== 'M' && !(event.ts! >= 0 && Number.isFinite(event.ts))) complain('no time', event);
    if (event.ph === 'X' && !(event.dur! >= 0)) complain('no duration', event);
    if (event.ph === 'C' && !Object.values(event.args).every(Number.isFinite)) complain('no figure', event);
    if (!['X', 'M', 'C', 's', 'f', 'i'].includes(event.ph)) complain('unknown', event);
  }
  const slices = grouped(
    events.filter(({ ph }) => ph === 'X'),
    trackOf,
  );
  for (const [track, own] of slices) {
    const isNamed = events.some((event) => event.name === 'thread_name' && trackOf(event) === track);
    if (!isNamed) complain('a track without a name', own[0]!);
    nested(own, complain);
  }
  arrows(events, slices, complain);
  return complaints;
}

function grouped(events: readonly FileEvent[], keyOf: (event: FileEvent) => string): Map<string, FileEvent[]> {
  const groups = new Map<string, FileEvent[]>();
  for (const event of events) groups.set(keyOf(event), [...(groups.get(keyOf(event)) ?? []), event]);
  return groups;
}

type Complain = (what: string, event: FileEvent) => void;
const endOf = (slice: FileEvent): number => slice.ts! + slice.dur!;

/** Of two slices of a track that share time, one has all of the other. */
function nested(own: readonly FileEvent[], complain: Complain): void {
  const open: FileEvent[] = [];
  for (const slice of own.toSorted((a, b) => a.ts! - b.ts! || b.dur! - a.dur!)) {
    while (open.length > 0 && endOf(open.at(-1)!) <= slice.ts!) open.pop();
    if (open.length > 0 && endOf(slice) > endOf(open.at(-1)!)) complain('slices that overlap', slice);
    open.push(slice);
  }
}

/** Each arrow has a beginning and an end, in this order, and each of them a slice that it belongs to. */
function arrows(
  events: readonly FileEvent[],
  slices: ReadonlyMap<string, readonly FileEvent[]>,
  complain: Complain,
): void {
  const ends = events.filter(({ ph }) => ph === 's' || ph === 'f');
  for (const both of grouped(ends, ({ cat, id, name }) => `${cat} ${id} ${name}`).values()) {
    const [from, to] = [both.filter(({ ph }) => ph === 's'), both.filter(({ ph }) => ph === 'f')];
    if (from.length !== 1 || to.length !== 1) complain('an arrow with one end', both[0]!);
    else if (from[0]!.ts! > to[0]!.ts!) complain('an arrow back in time', to[0]!);
  }
  for (const end of ends) {
    if (end.ph === 'f' && end.bp !== 'e') complain('an arrow to what comes next', end);
    const own = slices.get(trackOf(end)) ?? [];
    if (!own.some((slice) => slice.ts! <= end.ts! && end.ts! <= endOf(slice))) complain('an arrow of no slice', end);
  }
}
