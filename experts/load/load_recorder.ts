/** Records what gates choose, step by step, into a file. Shape suffixes: L MoE layers, E logical experts. */
import { LoadMonitor } from './load_monitor.js';
import type { Placement } from '../placement/placement.js';
import { isSameTable } from '../placement/planners/topology.js';
import { loadLine, placementLine, tokenLine, type RecordingHeader, type TokenRecord } from './recording.js';
import { RecordingWriter } from './recording_writer.js';

/** What one committed step routed, on all ranks. */
export interface StepRouting {
  readonly step: number;
  /** Tokens computed. */
  readonly numTokens: number;
  /** After masking: [L][E]. It changes with the next step. */
  readonly load_LE: readonly ArrayLike<number>[];
  /** The experts of each token; nothing where nobody asked for them. */
  readonly tokens: Iterable<TokenRecord>;
  /** Of the same choices, how many each rank computed: [L][R]. It changes with the next step. Absent: nobody knows. */
  readonly rankLoad_LR?: readonly ArrayLike<number>[];
  /** What the step ran with, without what lost ranks held; the same object until it changes. Absent: nobody knows. */
  readonly placement?: Placement;
}

/** Told of every committed step; the next step waits for it. */
export interface RoutingObserver {
  /** Ranks report the experts of every token. */
  readonly wantsTokens: boolean;
  /** With them the router logits of this share of the tokens, over 0, up to 1. Default: of none. */
  readonly routerLogitsShare?: number | undefined;
  /** Resolves when the observer is ready for the next step. */
  add(step: StepRouting): Promise<void>;
}

/** What is not in the header of a recording. */
export interface RecorderOptions {
  /** Steps per record of mode `stat`. */
  readonly windowSize: number;
}

/** Where the lines of a recording go. */
export interface RecordingSink {
  /** Adds lines; resolves when more may come. @throws what writing met */
  write(lines: string): Promise<void>;
  /** Ends the recording. Idempotent. @throws what writing met */
  close(): Promise<void>;
}

/** Characters that are compressed at a time. */
const WRITE_LENGTH = 65_536;

/** Writes a recording while a job runs: one record per step, per {@link RecorderOptions.windowSize} steps or per token, as the header's mode says. */
export class LoadRecorder implements RoutingObserver {
  readonly wantsTokens: boolean;
  private readonly stepsPerRecord: number;
  private readonly sum: LoadMonitor;
  /** The last one written. */
  private placement: Placement | null = null;
  private first = 0;
  private numSteps = 0;
  private numTokens = 0;
  private records = 0;

  private constructor(
    private readonly writer: RecordingSink,
    private readonly header: RecordingHeader,
    { windowSize }: RecorderOptions,
  ) {
    this.wantsTokens = header.mode === 'per_token';
    this.stepsPerRecord = header.mode === 'stat' ? windowSize : 1;
    this.sum = new LoadMonitor(header.numLayers, header.numExperts);
  }

  /**
   * Creates or replaces the file. Placements are recorded where the header says for how many ranks and slots.
   * @throws what the file system says where it can't be written
   */
  static async create(file: string, header: RecordingHeader, options: RecorderOptions): Promise<LoadRecorder> {
    return new LoadRecorder(await RecordingWriter.create(file, header), header, options);
  }

  /** Writes into `sink`, which has the header already. */
  static into(sink: RecordingSink, header: RecordingHeader, options: RecorderOptions): LoadRecorder {
    return new LoadRecorder(sink, header, options);
  }

  /** Records written so far. */
  get numRecords(): number {
    return this.records;
  }

  /** Writes the step, or counts it until its record is full. @throws what writing met */
  async add(step: StepRouting): Promise<void> {
    if (step.placement !== undefined && step.placement !== this.placement) await this.place(step.step, step.placement);
    if (this.wantsTokens) return this.addTokens(step.tokens);
    if (this.numSteps === 0) this.first = step.step;
    this.sum.merge(step.load_LE);
    this.numTokens += step.numTokens;
    if (++this.numSteps === this.stepsPerRecord) await this.flush();
  }

  /** Writes what is left and ends the file. @throws what writing met */
  async close(): Promise<void> {
    try {
      if (this.numSteps > 0) await this.flush();
    } finally {
      await this.writer.close();
    }
  }

  /** Load of different placements never shares a record. */
  private async place(step: number, placement: Placement): Promise<void> {
    const before = this.placement;
    this.placement = placement;
    if (this.header.slots === undefined) return;
    const { numRanks } = placement;
    const isNew = (table: Int32Array, layer: number): boolean =>
      before === null || !isSameTable(table, before.phy2log[layer]!);
    const layers = placement.phy2log.flatMap((phy2log, moeLayer) =>
      isNew(phy2log, moeLayer) ? [{ moeLayer, phy2log }] : [],
    );
    if (layers.length === 0) return;
    if (this.numSteps > 0) await this.flush();
    await this.writer.write(
      placementLine({
        step,
        version: placement.version,
        ...(numRanks !== this.header.slots.numRanks && { numRanks }),
        layers,
      }),
    );
  }

  private async addTokens(tokens: Iterable<TokenRecord>): Promise<void> {
    let lines = '';
    for (const token of tokens) {
      this.records++;
      lines += tokenLine(token, this.header);
      if (lines.length < WRITE_LENGTH) continue;
      await this.writer.write(lines);
      lines = '';
    }
    if (lines !== '') await this.writer.write(lines);
  }

  private async flush(): Promise<void> {
    const { first: step, numSteps, numTokens } = this;
    const line = loadLine({ step, numSteps, numTokens, load_LE: this.sum.load_LE });
    this.sum.reset();
    this.numSteps = 0;
    this.numTokens = 0;
    this.records++;
    await this.writer.write(line);
  }
}
