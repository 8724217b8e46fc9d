/** `expertwire bench resume`: what the death of a head costs those who wait for tokens. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import { table } from '../../lib/metrics/charts.js';
import { BenchError } from '../base/errors.js';
import { thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { parseOptions } from './options.js';
import { runResume, type ResumeRow } from './run_resume.js';

/** Runs it, and prints a table, or one JSON object. @throws UsageError, BenchError; TOKENS_DIFFER in the end where an answer was changed */
export async function benchResume(args: readonly string[], { stdout, env, signal }: CommandContext): Promise<void> {
  const { json, ...options } = accepted(parseOptions(args));
  const machine = thisMachine();
  const { model, ranks, rounds, seed, promptTokens, newTokens } = options;
  if (!json) {
    stdout.write(
      `${machine.cpu}, ${machine.cores} cores, ${machine.memory}, Node ${machine.node}; seed ${seed}\n` +
        `${model} on ${ranks} ranks; a server is killed behind ${Math.ceil(newTokens / 2)} of ${newTokens} tokens, prompt ${promptTokens}; medians of ${rounds}, in turns\n` +
        'serving: from its death until the next one, started at once, takes requests; next token: until a client has one that was not in the journal\n\n',
    );
  }
  const rows = await runResume({ ...options, json }, { env, signal });
  stdout.write(json ? `${JSON.stringify({ machine, ...options, rows })}\n` : `${tableOf(rows)}\n`);
  const numChanged = rows.reduce((sum, row) => sum + row.rounds - row.identical, 0);
  if (numChanged > 0) throw new BenchError('TOKENS_DIFFER', `${numChanged} answers aren't what they would have been`);
}

const tableOf = (rows: readonly ResumeRow[]): string =>
  table([
    ['ranks', 'serving', 'next token', 'identical'],
    ...rows.map(({ ranks, serving_ms, next_token_ms, identical, rounds }) => [
      ranks,
      ...[serving_ms, next_token_ms].map((ms) => `${ms.toFixed(0)} ms`),
      `${identical} of ${rounds}`,
    ]),
  ]);
