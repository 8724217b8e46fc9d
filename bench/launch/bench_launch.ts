/** `expertwire bench launch`: what launchers add to the start of a job. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import { table } from '../../lib/metrics/charts.js';
import { thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { parseOptions } from './options.js';
import { runLaunch, type LaunchRow } from './run_launch.js';

/** Runs it, and prints a table, or one JSON object. @throws UsageError, BenchError */
export async function benchLaunch(args: readonly string[], { stdout, env, signal }: CommandContext): Promise<void> {
  const { json, ...options } = accepted(parseOptions(args));
  const machine = thisMachine();
  const { model, ranks, rounds } = options;
  if (!json) {
    stdout.write(
      `${machine.cpu}, ${machine.cores} cores, ${machine.memory}, Node ${machine.node}\n` +
        `${model} on ${ranks} ranks of this machine; from the call until the first token; medians of ${rounds}, in turns\n\n`,
    );
  }
  const { rows, missing } = await runLaunch({ ...options, json }, { env, signal });
  if (json) stdout.write(`${JSON.stringify({ machine, ...options, rows, missing })}\n`);
  else stdout.write(`${tableOf(rows)}\n${missing.map((line) => `${line}\n`).join('')}`);
}

const tableOf = (rows: readonly LaunchRow[]): string =>
  table([
    ['launcher', 'first token', 'lowest to highest', 'beside by hand', 'ended'],
    ...rows.map(({ launcher, first_token_ms, lowest_ms, highest_ms, ended_ms }) => [
      launcher,
      inMs(first_token_ms),
      `${lowest_ms.toFixed(0)} to ${highest_ms.toFixed(0)} ms`,
      besideHand(rows, first_token_ms),
      inMs(ended_ms),
    ]),
  ]);

const inMs = (ms: number): string => `${ms.toFixed(0)} ms`;

function besideHand(rows: readonly LaunchRow[], ms: number): string {
  const hand = rows.find(({ launcher }) => launcher === 'hand');
  return hand === undefined ? '' : `${ms < hand.first_token_ms ? '−' : '+'}${inMs(Math.abs(ms - hand.first_token_ms))}`;
}
