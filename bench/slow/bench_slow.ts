/** `expertwire bench slow`: what one slow rank costs its job, and what is left of that when every rank gets what it can compute. */
import { setMaxListeners } from 'node:events';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { writeFigures } from '../base/figures_file.js';
import { BenchError } from '../base/errors.js';
import { thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { parseOptions } from './options.js';
import { header, slowTable, summary } from './report.js';
import { runSlow } from './run_slow.js';

/** Runs it, prints a table, and writes the file that was asked for. @throws UsageError, OutputError; BenchError PROCESS_DIED; TOKENS_DIFFER in the end where a slow rank changed an answer */
export async function benchSlow(
  args: readonly string[],
  { stdout, stderr, signal: given }: CommandContext,
): Promise<void> {
  const signal = AbortSignal.any([given]);
  setMaxListeners(0, signal); // a listener per request
  const options = accepted(parseOptions(args));
  const { json, ...settings } = options;
  await checkOutputs({ '--json': json });
  const machine = thisMachine();
  stdout.write(header(machine, options));
  const run = await runSlow(options, { signal, onNotice: (line) => void stderr.write(`${line}\n`) });
  stdout.write(`\n${slowTable(run)}\n\n${summary(run)}\n`);
  await writeFigures(json, { machine, ...settings, ...run });
  if (run.identical === run.answers) return;
  const text = `${run.answers - run.identical} of ${run.answers} answers aren't what they would have been; run --seed ${options.seed} again and report it`;
  throw new BenchError('TOKENS_DIFFER', text);
}
