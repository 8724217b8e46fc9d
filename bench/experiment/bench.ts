/** `measure: bench`: a benchmark with the options that the file says, and figures picked from its `--json`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { shown } from '../../base/foreign_text.js';
import type { Bench } from '../../lib/commands/bench.js';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { ExperimentError } from '../../lib/experiment/base/errors.js';
import type { PlannedRun } from '../../lib/experiment/base/run.js';
import {
  benchArguments,
  benchSettingsOf,
  valueOnPath,
  type BenchSettings,
} from '../../lib/experiment/measures/bench.js';
import { lookAtArguments } from '../base/options.js';
import type { MeasureContext, MeasureResult } from './base/measure.js';

/** Runs it. @throws ExperimentError MEASURE_FAILED for a figure that isn't there; whatever the benchmark throws */
export async function measureBench(run: PlannedRun, context: MeasureContext, runBench: Bench): Promise<MeasureResult> {
  const settings = benchSettingsOf(run);
  const file = join(context.folder, 'figures.json');
  const told = new Told(context.onNotice);
  const startMs = performance.now();
  await runBench(benchArguments(settings, run.seed, file), commandContext(context, told));
  const durationMs = performance.now() - startMs;
  const figures = await figuresOf(file, told.text, settings);
  const metrics: Record<string, number | string | null> = {};
  for (const [name, { path, kind }] of Object.entries(settings.metrics)) {
    metrics[name] = figureAt(figures, name, path, kind);
  }
  return { metrics: { ...metrics, duration_ms: durationMs }, details: {}, backend: null };
}

/** Finds options that the benchmark refuses. @throws UsageError */
export const lookAtBench = (run: PlannedRun, runBench: Bench): Promise<void> =>
  lookAtArguments(() => {
    const { signal } = new AbortController();
    const nothing = { folder: '', env: {}, onNotice: () => undefined, signal };
    return runBench(
      benchArguments(benchSettingsOf(run), run.seed, 'figures.json'),
      commandContext(nothing, new Told(nothing.onNotice)),
    );
  });

/** What a benchmark prints: kept, and told line by line. */
class Told extends Writable {
  text = '';
  private numToldChars = 0;

  constructor(private readonly onNotice: (line: string) => void) {
    super({ decodeStrings: false, defaultEncoding: 'utf8' });
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    const end = this.text.lastIndexOf('\n');
    if (end >= this.numToldChars) {
      for (const line of this.text.slice(this.numToldChars, end).split('\n')) this.onNotice(line);
      this.numToldChars = end + 1;
    }
    done();
  }
}

const commandContext = ({ env, signal, onNotice }: MeasureContext, stdout: Told): CommandContext => ({
  ...{ stdout, stderr: new Told(onNotice), stdin: Readable.from([]), env: { ...env }, signal },
});

/** Of its file, or else the last line that it printed. */
async function figuresOf(file: string, printed: string, { bench }: BenchSettings): Promise<unknown> {
  const text = (await readFile(file, 'utf8').catch(() => null)) ?? printed.trimEnd().split('\n').at(-1)!;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const what = `bench ${bench} left no JSON; run it with --json by hand, and report it`;
    throw new ExperimentError('MEASURE_FAILED', what, { cause });
  }
}

function figureAt(
  figures: unknown,
  name: string,
  path: string,
  kind: 'count' | 'time' | 'text',
): number | string | null {
  const value = valueOnPath(figures, path);
  if (value === null) return null;
  if (kind === 'text' && (typeof value === 'string' || typeof value === 'boolean')) return String(value);
  if (kind !== 'text' && typeof value === 'number') return value;
  const isThere = value !== undefined;
  const what = isThere ? `${shown(value)}, which is no ${kind === 'text' ? 'text' : 'number'}` : 'nothing';
  const keys = Object.keys(figures ?? {}).join(', ');
  throw new ExperimentError(
    'MEASURE_FAILED',
    `metric ${name}: ${path} leads to ${what}; give another path (its --json has ${keys})`,
  );
}
