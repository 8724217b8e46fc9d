/** The frame of a benchmark with several measurements: a folder that is gone afterwards, each told as it ends, and the file of figures. */
import { setMaxListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closing } from '../../lib/commands/base/closing.js';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { writeFigures } from './figures_file.js';
import { thisMachine, type Machine } from './machine.js';

/** What was asked for, besides settings. */
export interface Asked<Name extends string> {
  readonly names: readonly Name[];
  /** A file for all figures. */
  readonly json?: string | undefined;
}

/** What measurements have in common. */
export interface Place {
  readonly folder: string;
  /** Any number may listen: a request each. */
  readonly signal: AbortSignal;
}

/** How one benchmark measures, and tells. */
export interface Measuring<Name extends string, Result> {
  readonly header: (machine: Machine) => string;
  readonly section: (name: Name, result: Result) => string;
  /** Once, before the first: what all need. */
  readonly begin: (place: Place) => Promise<(name: Name) => Promise<Result>>;
}

/** Runs them one after the other. @throws OutputError; what they throw */
export async function runMeasurements<Name extends string, Result>(
  { stdout, signal: given }: Pick<CommandContext, 'stdout' | 'signal'>,
  { json, names, ...settings }: Asked<Name>,
  { header, section, begin }: Measuring<Name, Result>,
): Promise<Result[]> {
  const signal = AbortSignal.any([given]);
  setMaxListeners(0, signal);
  await checkOutputs({ '--json': json });
  const machine = thisMachine();
  stdout.write(header(machine));
  const results = new Map<Name, Result>();
  const folder = await mkdtemp(join(tmpdir(), 'expertwire-bench-'));
  await closing(
    () => rm(folder, { recursive: true, force: true }),
    async () => {
      const measure = await begin({ folder, signal });
      for (const name of names) {
        signal.throwIfAborted();
        const result = await measure(name);
        results.set(name, result);
        stdout.write(section(name, result));
      }
    },
  );
  await writeFigures(json, { machine, ...settings, results: Object.fromEntries(results) });
  return [...results.values()];
}
