/** A recording as the source of choices. Shape suffixes: L MoE layers, E logical experts, K choices per token. */
import { ExpertError } from '../../compute/base/errors.js';
import { countsText } from '../placement/expert_counts.js';
import { LoadMonitor } from '../load/load_monitor.js';
import { RunCounter, type RecordedRun } from '../load/recorded_run.js';
import {
  choicesOf,
  type LoadRecord,
  type RecordedLine,
  type RecordingHeader,
  type TokenRecord,
} from '../load/recording.js';
import { readRecording } from '../load/recording_reader.js';
import {
  MAX_ROUTING_WINDOWS,
  replayedRouting,
  windowedRouting,
  type RoutingShape,
  type RoutingSource,
} from './routing_source.js';

/** Choices of recorded tokens that are kept: 512 MiB. */
const MAX_CHOICES = 2 ** 28;

/** What a whole recording adds up to. */
export interface RecordedLoad {
  readonly header: RecordingHeader;
  /** Σ over the recording; of a `per_token` one, of the tokens' choices. */
  readonly load_LE: readonly Float64Array[];
  /** What computed it; null where the recording doesn't say. */
  readonly run: RecordedRun | null;
}

/** Sums a recording up. @throws ExpertError BAD_RECORDING */
export async function recordedLoad(file: string): Promise<RecordedLoad> {
  let sum: LoadSum | null = null;
  for await (const line of readRecording(file)) {
    if (line.kind === 'header') {
      sum = new LoadSum(line.header);
      continue;
    }
    try {
      sum!.add(line);
    } catch (error) {
      throw bad(file, error instanceof Error ? error.message : String(error));
    }
  }
  return sum!.result();
}

class LoadSum {
  private readonly total: LoadMonitor;
  private readonly run: RunCounter | null;

  constructor(private readonly header: RecordingHeader) {
    const { numLayers, numExperts, slots } = header;
    this.total = new LoadMonitor(numLayers, numExperts);
    this.run = slots === undefined ? null : new RunCounter(header, slots);
  }

  add(line: RecordedLine): void {
    if (line.kind === 'placement') return this.run?.place(line.record);
    for (const monitor of [this.total, ...(this.run === null ? [] : [this.run.current])]) {
      if (line.kind === 'load') monitor.merge(line.record.load_LE);
      else this.count(line.record, monitor);
    }
  }

  result(): RecordedLoad {
    return { header: this.header, load_LE: this.total.snapshot(), run: this.run?.result() ?? null };
  }

  private count({ experts }: TokenRecord, monitor: LoadMonitor): void {
    const { numLayers, numTopk } = this.header;
    for (let l = 0; l < numLayers; l++) {
      monitor.record(l, choicesOf(experts.subarray(l * numTopk, (l + 1) * numTopk)));
    }
  }
}

/**
 * Tokens go where a recording says: with `per_token`, exactly where its tokens went; else as its windows are loaded:
 * neighbours are added up until they are no more than {@link MAX_ROUTING_WINDOWS}. Seed default 0.
 * @throws ExpertError BAD_RECORDING, also for a recording of another shape
 */
export async function recordedRouting(file: string, shape: RoutingShape, seed = 0): Promise<RoutingSource> {
  const tokens = new RecordedTokens(file, shape);
  const windows = new RecordedWindows();
  for await (const line of readRecording(file)) {
    if (line.kind === 'header') {
      checkShape(file, line.header, shape);
      windows.stepsPerRecord = line.header.windowSize ?? null;
    } else if (line.kind === 'load') windows.add(line.record);
    else if (line.kind === 'token') tokens.add(line.record);
  }
  if (tokens.numRequests > 0) return replayedRouting(tokens.requests(), shape);
  if (windows.all.length > 0) return windowedRouting(windows.all, shape, seed);
  throw bad(file, 'it has no records, so there is nothing to route by');
}

function checkShape(file: string, header: RecordingHeader, shape: RoutingShape): void {
  const textOf = ({ numLayers, numExperts, numTopk }: RoutingShape): string =>
    `${numLayers} MoE layers of ${countsText(numExperts)} experts, ${numTopk} per token`;
  if (textOf(header) === textOf(shape)) return;
  throw bad(file, `it is of ${header.model} with ${textOf(header)}; this model has ${textOf(shape)}`);
}

const bad = (file: string, what: string): ExpertError =>
  new ExpertError('BAD_RECORDING', `${file}: ${what}; give another recording`, { file });

class RecordedWindows {
  /** Shorter records, which end where the placement changed, are joined with the next ones. Null: every record is as long as any. */
  stepsPerRecord: number | null = null;
  private windows: (readonly ArrayLike<number>[])[] = [];
  private recordsPerWindow = 1;
  private numInLast = 0;

  get all(): readonly (readonly ArrayLike<number>[])[] {
    return this.windows;
  }

  add({ load_LE, numSteps }: LoadRecord): void {
    const numRecords = this.stepsPerRecord === null ? 1 : numSteps / this.stepsPerRecord;
    if (this.windows.length === 0 || this.numInLast >= this.recordsPerWindow) {
      if (this.windows.length === MAX_ROUTING_WINDOWS) this.halve();
      this.windows.push(load_LE);
      this.numInLast = numRecords;
    } else {
      this.windows.push(sumOf(this.windows.pop()!, load_LE));
      this.numInLast += numRecords;
    }
  }

  private halve(): void {
    const { windows } = this;
    this.windows = windows.flatMap((window, i) => (i % 2 === 0 ? [sumOf(window, windows[i + 1]!)] : []));
    this.recordsPerWindow *= 2;
  }
}

const sumOf = (a_LE: readonly ArrayLike<number>[], b_LE: readonly ArrayLike<number>[]): Float64Array[] =>
  a_LE.map((a_E, l) => Float64Array.from(a_E, (load, e) => load + b_LE[l]![e]!));

/** The tokens of each request in the order of their positions. */
class RecordedTokens {
  private readonly width: number;
  private readonly byRequest = new Map<number, { experts: Uint16Array; numTokens: number }>();
  private numChoices = 0;

  constructor(
    private readonly file: string,
    { numLayers, numTopk }: RoutingShape,
  ) {
    this.width = numLayers * numTopk;
  }

  get numRequests(): number {
    return this.byRequest.size;
  }

  add({ request, position, experts }: TokenRecord): void {
    const held = this.byRequest.get(request) ?? { experts: new Uint16Array(16 * this.width), numTokens: 0 };
    if (position !== held.numTokens) {
      throw bad(this.file, `request ${request} goes on at position ${position}, and ${held.numTokens} was to come`);
    }
    if ((this.numChoices += this.width) > MAX_CHOICES) {
      throw bad(this.file, `it has more than ${MAX_CHOICES} choices, which are kept in memory`);
    }
    if (held.experts.length === held.numTokens * this.width) held.experts = doubled(held.experts);
    held.experts.set(experts, held.numTokens++ * this.width);
    this.byRequest.set(request, held);
  }

  requests(): Uint16Array[] {
    const inOrder = [...this.byRequest].sort(([a], [b]) => a - b);
    return inOrder.map(([, { experts, numTokens }]) => experts.subarray(0, numTokens * this.width));
  }
}

function doubled(values: Uint16Array): Uint16Array {
  const larger = new Uint16Array(2 * values.length);
  larger.set(values);
  return larger;
}
