/** Writes a Chrome trace (a JSON array of events) as they come; chrome://tracing and https://ui.perfetto.dev open it. */
import { open, type FileHandle } from 'node:fs/promises';
import {
  chromeEvent,
  chromeHead,
  chromeMoveHead,
  chromeSwitch,
  isMove,
  overlapOf,
  type ChromeEvent,
  type TimelineEvent,
} from '../../metrics/timeline.js';
import { outputFailed } from '../base/output_file.js';

/** One file for all ranks of a job. Events wait in memory until the disk has taken those before them. */
export class TraceWriter {
  /** The placement's version by rank. */
  private readonly versions = new Map<number, number>();
  /** Ranks whose tracks of moving experts have names. */
  private readonly movers = new Set<number>();
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

  /** Events of one rank's step, which ran with this version of the placement; another one than the step before is marked. */
  add(rank: number, events: readonly TimelineEvent[], placementVersion = 0): void {
    const before = this.versions.get(rank);
    if (before === undefined) this.write(chromeHead(rank, this.numMicroBatches));
    this.versions.set(rank, placementVersion);
    const first = events.reduce<TimelineEvent | null>((a, b) => (a !== null && a.startUs <= b.startUs ? a : b), null);
    if (before !== undefined && before !== placementVersion && first !== null) {
      this.write([chromeSwitch(rank, placementVersion, first)]);
    }
    if (!this.movers.has(rank) && events.some(isMove)) {
      this.movers.add(rank);
      this.write(chromeMoveHead(rank));
    }
    this.write(events.map((event) => chromeEvent(rank, event)));
    const { flownUs, hiddenUs } = overlapOf(events);
    this.flownUs += flownUs;
    this.hiddenUs += hiddenUs;
  }

  /** One line: where the trace is, and what it shows of overlap. */
  summary(): string {
    if (this.flownUs === 0) return `trace: ${this.path}`;
    const percent = ((100 * this.hiddenUs) / this.flownUs).toFixed(0);
    return `trace: ${this.path}; ranks computed during ${percent} % of the time in which bytes were on their way`;
  }

  /** Ends the file. @throws OutputError: what writing it met, a full disk for instance */
  async close(): Promise<void> {
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
    const text = `${this.isEmpty ? '' : ','}\n${events.map((event) => JSON.stringify(event)).join(',\n')}`;
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
