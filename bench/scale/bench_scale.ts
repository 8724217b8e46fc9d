/** `expertwire bench scale`: what it takes to have more or fewer ranks while tokens are generated. */
import { setMaxListeners } from 'node:events';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { writeFigures } from '../base/figures_file.js';
import { BenchError } from '../base/errors.js';
import { thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { parseOptions } from './options.js';
import { changeTable, header, summary } from './report.js';
import { runScale } from './run_scale.js';

/** Runs it, prints a table and the totals, and writes the file that was asked for. @throws UsageError, OutputError; BenchError TOKENS_DIFFER in the end where a request was lost or changed */
export async function benchScale(
  args: readonly string[],
  { stdout, stderr, signal: given, env }: CommandContext,
): Promise<void> {
  const signal = AbortSignal.any([given]);
  setMaxListeners(0, signal); // a listener per request
  const options = accepted(parseOptions(args));
  const { json, ...settings } = options;
  await checkOutputs({ '--json': json });
  const machine = thisMachine();
  stdout.write(header(machine, options));
  const { rows, totals } = await runScale(options, { env, signal, onNotice: (line) => void stderr.write(`${line}\n`) });
  stdout.write(`\n${changeTable(rows)}\n\n${summary(totals)}\n`);
  await writeFigures(json, { machine, ...settings, rows, totals });
  const numLost = totals.requests - totals.identical;
  if (numLost === 0) return;
  const text = `${numLost} of ${totals.requests} requests failed or aren't what they would have been; run --seed ${options.seed} again and report it`;
  throw new BenchError('TOKENS_DIFFER', text);
}
