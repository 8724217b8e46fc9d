/**
 * One run of an experiment: what its process is given, and what it leaves. Both are files in the run's folder, so that any machine that sees the folder can run it.
 * Why: docs/decisions/experiments.md#a-run-is-a-process-with-two-files
 */
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Metrics } from './metric.js';

/** A value as JSON and YAML have it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** What the sweep says of a run, by keys as they stand in the file: 'parallel.ranks', 'workload.link.delay_ms'. */
export type Point = Readonly<Record<string, Json>>;

/** `run.json`: all that decides what is computed. */
export interface PlannedRun {
  /**
   * 16 hexadecimal digits of a SHA-256 of all the rest but `index` and `round`, and of what is in the files that it names: the same run has the same one, whatever else the file says.
   * Why: docs/decisions/experiments.md#the-id-of-a-run-is-a-hash-of-what-it-computes
   */
  readonly id: string;
  /** From 0, in the order in which runs are to be done. */
  readonly index: number;
  readonly point: Point;
  /**
   * The pass over all points that it belongs to, from 0: runs of one round stand side by side in time, and pairs are compared within it.
   * Why: docs/decisions/experiments.md#in-turns-and-compared-in-pairs
   */
  readonly round: number;
  readonly seed: number;
  /** From 0. */
  readonly repeat: number;
  /** Whole and checked, with the point's keys. */
  readonly config: ExpertwireConfig;
  /** As the measure's schema has it. */
  readonly workload: Readonly<Record<string, Json>>;
  /** Its name, and settings as its schema has them. */
  readonly measure: { readonly kind: string; readonly [key: string]: Json };
  /** Passes over the workload in the run's process before the one that is measured. */
  readonly warmup: number;
}

/** `result.json`: what a process that came to its end leaves. */
export interface RunResult {
  readonly metrics: Metrics;
  /** For who looks into one run: matrices, series, requests; neither tables nor reports read them. Keys are those of `DETAILS`. */
  readonly details: Readonly<Record<string, Json>>;
  /** What computed: 'wasm', 'tensorflow'; null: nothing did. */
  readonly backend: string | null;
  /** From when the measure was asked to when it had its result, without start and end of the process. */
  readonly measureMs: number;
  readonly environment: RunEnvironment;
}

/** What a run ran with, as its process tells it: another machine's may be other than the runner's. */
export interface RunEnvironment {
  /** Of the code, `-dirty` behind it where files differ from it; null: it isn't known. */
  readonly commit: string | null;
  /** expertwire, node, v8. */
  readonly versions: Readonly<Record<string, string>>;
  /** cpu, cores, memory_bytes, system. */
  readonly machine: Readonly<Record<string, string | number>>;
}

/** When a run took place: of its process. */
export interface RunTimes {
  readonly startedAt: Date;
  readonly durationMs: number;
}

/** How a run came to an end. `times`: of its process, where it waited in line before; otherwise those of {@link Runner.run}. */
export type RunEnd = (
  | { readonly status: 'ok'; readonly result: RunResult }
  | { readonly status: 'failed' | 'timed_out'; readonly error: { readonly code: string; readonly message: string } }
) & { readonly times?: RunTimes };

/** A line of `results.jsonl`. */
export interface ResultRow
  extends
    Pick<
      PlannedRun,
      'id' | 'index' | 'point' | 'round' | 'seed' | 'repeat' | 'config' | 'workload' | 'measure' | 'warmup'
    >,
    RunEnvironment {
  readonly experiment: string;
  readonly status: RunEnd['status'];
  readonly error: { readonly code: string; readonly message: string } | null;
  /** Empty where it failed. */
  readonly metrics: Metrics;
  /** Of each metric. */
  readonly units: Readonly<Record<string, string>>;
  readonly backend: string | null;
  /** ISO 8601. */
  readonly started_at: string;
  /** Of the process, from its start to its end. */
  readonly duration_ms: number;
  /** What the runner and the process took beside the measure: duration − measure. */
  readonly overhead_ms: number | null;
}

/** Where runs run. */
export interface Runner {
  /** How many at a time. */
  readonly width: number;
  /**
   * Runs the folder's `run.json` in a process of its own and waits for its end. `timeoutMs` counts from its start. Nothing of the process is left, whatever
   * happens; of one on another machine that was given up, a moment later. Rejects when `signal` is aborted, with its reason; a run that fails is a {@link RunEnd}.
   */
  run(folder: string, timeoutMs: number, signal: AbortSignal): Promise<RunEnd>;
  /** Ends what runs. */
  close(): Promise<void>;
}
