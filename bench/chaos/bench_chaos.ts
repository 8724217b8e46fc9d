/** `expertwire bench chaos`: a job under load with random faults, and what anybody notices of them. */
import { writeFile } from 'node:fs/promises';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs, outputFailed } from '../../lib/commands/base/output_file.js';
import { BenchError } from '../base/errors.js';
import { thisMachine } from '../base/machine.js';
import { runChaos } from './run_chaos.js';
import { parseOptions } from './options.js';
import { faultTable, header, summary } from './report.js';

/** Runs it, prints a table and the totals, and writes the file that was asked for. @throws UsageError, OutputError; BenchError TOKENS_DIFFER in the end where a request was lost or changed */
export async function benchChaos(
  args: readonly string[],
  { stdout, stderr, signal, env }: CommandContext,
): Promise<void> {
  const options = parseOptions(args);
  const { json, ...settings } = options;
  await checkOutputs({ '--json': json });
  const machine = thisMachine();
  stdout.write(header(machine, options));
  const { rows, totals } = await runChaos(options, { env, signal, onNotice: (line) => void stderr.write(`${line}\n`) });
  stdout.write(`\n${faultTable(rows)}\n\n${summary(totals, rows)}\n`);
  if (json !== undefined) {
    await writeFile(json, `${JSON.stringify({ machine, ...settings, rows, totals })}\n`).catch((cause: unknown) => {
      throw outputFailed('--json', json, cause);
    });
  }
  const numLost = options.onPeerLoss === 'mask' ? totals.failed : totals.requests - totals.whole;
  if (numLost === 0) return;
  const text = `${numLost} of ${totals.requests} requests failed or aren't what they would have been; run --seed ${options.seed} again and report it`;
  throw new BenchError('TOKENS_DIFFER', text);
}
