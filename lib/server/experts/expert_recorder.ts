/** Records which experts work while a server runs, between two requests of its operator: idle → recording → stopped → idle. */
import { LoadRecorder } from '../../../experts/load/load_recorder.js';
import { RecordingMemory } from '../../../experts/load/recording_memory.js';
import type { RecordMode } from '../../../experts/load/recording.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { ObservedStep, StepObserver } from '../../head/observing/step_observer.js';
import { numSlicesOf } from '../../model/spec/slices.js';
import { recordingHeader } from '../../head/recording_header.js';
import { recordingObserver } from '../../head/step_routing.js';
import { ApiError } from '../base/api_error.js';
import type { ServedEngine } from '../base/served_engine.js';

/** `per_token` needs ranks that report the experts of every token, which is decided when the job starts. */
export const SERVED_MODES = ['stat', 'per_pass'] as const satisfies readonly RecordMode[];
/** One of {@link SERVED_MODES}. */
export type ServedMode = (typeof SERVED_MODES)[number];

/** Why a recording ended; `asked`: by its operator. */
export type RecordingEnd = 'asked' | 'full' | 'too slow' | 'failed';

/** What a recorder does, and what it holds. */
export interface RecorderStatus {
  readonly state: 'idle' | 'recording' | 'stopped';
  readonly mode: ServedMode | null;
  readonly numSteps: number;
  /** Of them, steps that are still to be compressed. */
  readonly numPending: number;
  /** Compressed. */
  readonly numBytes: number;
  /** Null while it records. */
  readonly endedBecause: RecordingEnd | null;
}

/** Of one recording, compressed: days of `stat`. */
const MAX_BYTES = 64 * 2 ** 20;
/** Steps that wait to be compressed: the engine doesn't wait for them. */
const MAX_PENDING_STEPS = 64;

interface Recording {
  readonly mode: ServedMode;
  readonly memory: RecordingMemory;
  readonly recorder: LoadRecorder;
  readonly observer: StepObserver;
  readonly stopWatching: () => void;
  numSteps: number;
  numPending: number;
  /** Of all steps so far. */
  written: Promise<void>;
  end: RecordingEnd | null;
}

/** Holds one recording at most. */
export class ExpertRecorder {
  private recording: Recording | null = null;

  constructor(
    private readonly engine: Pick<ServedEngine, 'spec' | 'placement' | 'numSeats' | 'watch'>,
    private readonly config: ExpertwireConfig,
    private readonly maxBytes = MAX_BYTES,
  ) {}

  get status(): RecorderStatus {
    const { recording } = this;
    if (recording === null)
      return { state: 'idle', mode: null, numSteps: 0, numPending: 0, numBytes: 0, endedBecause: null };
    const { mode, memory, numSteps, numPending, end } = recording;
    const state = end === null ? 'recording' : 'stopped';
    return { state, mode, numSteps, numPending, numBytes: memory.numBytes, endedBecause: end };
  }

  /** Begins anew: what was recorded and not dumped is forgotten. @throws ApiError CONFLICT while one runs */
  start(mode: ServedMode): void {
    if (this.recording?.end === null) throw conflict('a recording runs already; stop or dump it first');
    const { engine, config } = this;
    const header = recordingHeader(mode, config, engine.spec, engine.placement, engine.numSeats);
    const memory = new RecordingMemory(header, this.maxBytes);
    const recorder = LoadRecorder.into(memory, header, { windowSize: config.load_balance.window_size });
    const width = header.numLayers * header.numTopk;
    this.recording = {
      ...{
        mode,
        memory,
        recorder,
        observer: recordingObserver(recorder, {
          ...{ width, numSlices: numSlicesOf(engine.spec) },
          numRanks: () => engine.placement.numRanks,
        }),
      },
      stopWatching: engine.watch({ step: (step) => this.add(step) }),
      ...{ numSteps: 0, numPending: 0, written: Promise.resolve(), end: null },
    };
  }

  /** Ends a recording, which can still be dumped. @throws ApiError CONFLICT where none runs */
  async stop(): Promise<void> {
    const { recording } = this;
    if (recording?.end !== null) throw conflict('no recording runs; start one first');
    await complete(recording);
  }

  /**
   * Ends a recording that runs, hands the bytes of a file to `keep`, and forgets it once that is done: what could not be kept can be dumped again.
   * @throws ApiError CONFLICT where there is none; what `keep` throws
   */
  async dump<T>(keep: (bytes: Buffer) => Promise<T> | T): Promise<T> {
    const { recording } = this;
    if (recording === null) throw conflict('nothing was recorded; start a recording first');
    await complete(recording);
    const kept = await keep(recording.memory.bytes());
    if (this.recording === recording) this.recording = null;
    return kept;
  }

  /** Forgets what was recorded. Idempotent. */
  async close(): Promise<void> {
    const { recording } = this;
    this.recording = null;
    if (recording !== null) await complete(recording);
  }

  private add(step: ObservedStep): void {
    const recording = this.recording!;
    if (recording.numPending >= MAX_PENDING_STEPS) return end(recording, 'too slow');
    if (recording.memory.isFull) return end(recording, 'full');
    recording.numSteps++;
    recording.numPending++;
    recording.written = recording.written
      .then(() => recording.observer.observe(step))
      .catch(() => end(recording, 'failed'))
      .finally(() => recording.numPending--);
  }
}

/** No more steps; the first reason counts. */
function end(recording: Recording, why: RecordingEnd): void {
  if (recording.end !== null) return;
  recording.end = why;
  recording.stopWatching();
}

/** The same, and all that was recorded is there. */
async function complete(recording: Recording): Promise<void> {
  end(recording, 'asked');
  await recording.written;
  await recording.recorder.close();
}

const conflict = (text: string): ApiError => new ApiError('CONFLICT', text);
