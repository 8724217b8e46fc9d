/** `expertwire bench chaos`: a job under load with random faults, and what anybody notices of them. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { writeFigures } from '../base/figures_file.js';
import { thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { runChaos } from './run_chaos.js';
import { parseOptions } from './options.js';
import { faultTable, header, summary } from './report.js';
import { verdict } from './verdict.js';

/** Runs it, prints a table and the totals, and writes the file that was asked for. @throws UsageError, OutputError; BenchError in the end where a request was lost or changed, or the job is not whole again */
export async function benchChaos(
  args: readonly string[],
  { stdout, stderr, signal, env }: CommandContext,
): Promise<void> {
  const options = accepted(parseOptions(args));
  const { json, ...settings } = options;
  await checkOutputs({ '--json': json });
  const machine = thisMachine();
  stdout.write(header(machine, options));
  const { rows, totals } = await runChaos(options, { env, signal, onNotice: (line) => void stderr.write(`${line}\n`) });
  stdout.write(`\n${faultTable(rows)}\n\n${summary(totals, rows)}\n`);
  await writeFigures(json, { machine, ...settings, rows, totals });
  const failure = verdict(options, rows, totals);
  if (failure !== null) throw failure;
}
