/** Writes a Chrome trace (a JSON array of events) as they come; chrome://tracing and https://ui.perfetto.dev open it. */
import { open, type FileHandle } from 'node:fs/promises';
import { chromeHead, chromeMoveHead, chromeSwitch, isMove, type ChromeEvent } from '../../metrics/chrome_trace.js';
import { overlapOf, type TimelineEvent } from '../../metrics/timeline.js';
import { traceStep, type TracedStep } from '../../metrics/trace_step.js';
import { outputFailed } from '../base/output_file.js';

interface OfStep extends TracedStep {
  readonly placementVersion: number;
}

/** One file for all ranks of a job. Events wait in memory until the disk has taken those before them. */
export class TraceWriter {
  /** The placement's version by rank. */
  private readonly versions = new Map<number, number>();
  /** Ranks whose tracks of moving experts have names. */
  private readonly movers = new Set<number>();
  /** Of the step that was told of last. */
  private readonly ofStep: OfStep[] = [];
  private step = -1;
  /** Times are told from here on; null: none is told yet. */
  private originUs: number | null = null;
  private written: Promise<unknown>;
  private isEmpty = true;
  private flownUs = 0;
  private hiddenUs = 0;

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    private readonly numMicroBatches: number,
  ) {
    this.written = Promise.resolve();
    this.append('[');
  }

  /** Creates or replaces the file. @throws OutputError where it can't be written */
  static async create(path: string, numMicroBatches: number): Promise<TraceWriter> {
    const file = await open(path, 'w').catch((cause: unknown) => {
      throw outputFailed(OPTION, path, cause);
    });
    return new TraceWriter(file, path, numMicroBatches);
  }

  /**
   * Events of one rank's step, which ran with this version of the placement; another one than the step before is marked. `rankLoad`: of the choices that its tokens
   * made in it, how many each rank computed, [MoE layer][rank]. They are written when a later step comes: what a rank computed is known when all have told.
   */
  add(
    rank: number,
    events: readonly TimelineEvent[],
    placementVersion = 0,
    rankLoad: TracedStep['rankLoad'] = null,
  ): void {
    const step = events.reduce((last, event) => Math.max(last, event.step), -1);
    if (step > this.step) this.flush();
    this.step = Math.max(this.step, step);
    this.ofStep.push({ rank, events, placementVersion, rankLoad });
    const { flownUs, hiddenUs } = overlapOf(events);
    this.flownUs += flownUs;
    this.hiddenUs += hiddenUs;
  }

  private flush(): void {
    const ranks = this.ofStep.splice(0);
    const starts = ranks.flatMap(({ events }) => events.map(({ startUs }) => startUs));
    // Perfetto counts nanoseconds in doubles: of those since 1970 it would lose some hundred.
    if (this.originUs === null && starts.length > 0) this.begin(starts.reduce((a, b) => Math.min(a, b)));
    for (const [i, events] of traceStep(ranks).entries()) {
      const { rank } = ranks[i]!;
      this.write(this.headOf(ranks[i]!));
      this.write(events);
      this.versions.set(rank, ranks[i]!.placementVersion);
    }
  }

  /** When the trace begins, for who compares it with a log. */
  private begin(originUs: number): void {
    this.originUs = originUs;
    const args = { microseconds_since_1970: originUs };
    this.write([{ name: 'the trace begins', ph: 'i', s: 'g', pid: 1, tid: 1, ts: originUs, args }]);
  }

  /** Names that come for the first time, and what has changed since the step before. */
  private headOf({ rank, events, placementVersion }: OfStep): ChromeEvent[] {
    const before = this.versions.get(rank);
    const first = events.reduce<TimelineEvent | null>((a, b) => (a !== null && a.startUs <= b.startUs ? a : b), null);
    const isSwitched = before !== undefined && before !== placementVersion && first !== null;
    const isMoving = !this.movers.has(rank) && events.some(isMove);
    if (isMoving) this.movers.add(rank);
    return [
      ...(before === undefined ? chromeHead(rank, this.numMicroBatches) : []),
      ...(isSwitched ? [chromeSwitch(rank, placementVersion, first)] : []),
      ...(isMoving ? chromeMoveHead(rank) : []),
    ];
  }

  /** One line: where the trace is, and what it shows of overlap. */
  summary(): string {
    if (this.flownUs === 0) return `trace: ${this.path}`;
    const percent = ((100 * this.hiddenUs) / this.flownUs).toFixed(0);
    return `trace: ${this.path}; ranks computed during ${percent} % of the time in which bytes were on their way`;
  }

  /** Ends the file. @throws OutputError: what writing it met, a full disk for instance */
  async close(): Promise<void> {
    this.flush();
    this.append('\n]\n');
    try {
      await this.written;
    } catch (cause) {
      throw outputFailed(OPTION, this.path, cause);
    } finally {
      await this.file.close();
    }
  }

  private write(events: readonly ChromeEvent[]): void {
    if (events.length === 0) return;
    const { originUs } = this;
    const lines = events.map(({ ts, ...event }) =>
      JSON.stringify(ts === undefined ? event : { ...event, ts: ts - (originUs ?? 0) }),
    );
    const text = `${this.isEmpty ? '' : ','}\n${lines.join(',\n')}`;
    this.isEmpty = false;
    this.append(text);
  }

  /** One piece after the other; after one that failed, none. */
  private append(text: string): void {
    this.written = this.written.then(() => this.file.writeFile(text));
    this.written.catch(() => undefined); // told by close
  }
}

const OPTION = '--trace';
