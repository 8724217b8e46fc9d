/** `expertwire bench peers`: what other engines reach on the same checkpoint and cores. */
import { mkdir } from 'node:fs/promises';
import { loadavg } from 'node:os';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { writeFigures } from '../base/figures_file.js';
import { thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { openPin } from './engines/cores.js';
import { findPeers } from './found_peers.js';
import { benchExchange, type ExchangeRow } from './exchange_section.js';
import { benchGeneration, type GenerationFigures } from './generation.js';
import { benchMachine, type MachineRow } from './machine_section.js';
import { parseOptions } from './options.js';
import { generationReport, header, loadText, machineReport } from './report.js';
import { exchangeReport, startReport, tokenReport } from './exchange_report.js';
import { benchStart, type StartRow } from './start_section.js';
import { benchTokens, type TokenRow } from './token_section.js';

/** By section; `tokens` is of `exchange`. */
interface Results {
  generation?: GenerationFigures;
  machine?: MachineRow[];
  exchange?: ExchangeRow[];
  tokens?: TokenRow[];
  start?: StartRow[];
}

/** Runs the sections one after the other, prints each as it ends, and writes the file that was asked for. @throws UsageError, BenchError, OutputError */
export async function benchPeers(
  args: readonly string[],
  { stdout, stderr, signal, env }: CommandContext,
): Promise<void> {
  const options = accepted(parseOptions(args));
  const { json, ...settings } = options;
  await checkOutputs({ '--json': json });
  await mkdir(options.dir, { recursive: true });
  const found = await findPeers(options, env);
  const pin = await openPin();
  const machine = thisMachine();
  const loads = [loadavg()[0]!];
  stdout.write(header(machine, loads[0]!, options, pin.isPinning, found.missing));
  const results: Results = {};
  const tell = (text: string): void => void stderr.write(`${text}\n`);
  for (const section of options.sections) {
    signal.throwIfAborted();
    switch (section) {
      case 'generation':
        results.generation = await benchGeneration(options, found, pin, signal, tell);
        stdout.write(`\n${generationReport(results.generation, options)}`);
        break;
      case 'machine':
        if (!found.names.has('torch')) break; // nothing to compare with
        results.machine = await benchMachine(options, { node: options.node, python: found.python, pin }, signal, tell);
        stdout.write(`\n${machineReport(results.machine)}`);
        break;
      case 'exchange':
        results.exchange = await benchExchange(options, found, signal, tell);
        stdout.write(`\n${exchangeReport(results.exchange)}`);
        results.tokens = await benchTokens(options, found, signal, tell);
        stdout.write(`\n${tokenReport(results.tokens)}`);
        break;
      case 'start':
        results.start = await benchStart(options, found, signal, tell);
        stdout.write(`\n${startReport(results.start)}`);
        break;
    }
  }
  loads.push(loadavg()[0]!);
  stdout.write(`\nat the end: ${loadText(loads[1]!, machine.cores)}\n`);
  const all = { machine, load_average: loads, settings, missing: found.missing, ...results };
  await writeFigures(json, all);
}
