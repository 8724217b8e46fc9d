/** `expertwire bench formats`: what stored formats cost and save: loading, bytes, memory, tokens/s. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import { bytes, table } from '../../lib/metrics/charts.js';
import { thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { measureFormats, type FormatRow } from './measure.js';
import { parseOptions, type FormatsOptions } from './options.js';

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError for options that can't be measured; WeightError WRITE_FAILED */
export async function benchFormats(args: readonly string[], { stdout, signal }: CommandContext): Promise<void> {
  const options = accepted(parseOptions(args));
  const rows = await measureFormats(options, signal);
  if (!options.json) {
    stdout.write(report(options, rows));
    return;
  }
  const { layers, hidden, experts, intermediate, promptTokens, newTokens, rounds, seed, set } = options;
  const shape = { layers, hidden, experts, intermediate };
  const settings = { ...shape, prompt_tokens: promptTokens, new_tokens: newTokens, rounds, seed, set };
  stdout.write(`${JSON.stringify({ machine: thisMachine(), ...settings, rows })}\n`);
}

function report(options: FormatsOptions, rows: readonly FormatRow[]): string {
  const { cpu, cores, memory, node } = thisMachine();
  const { layers, hidden, experts, intermediate, promptTokens, newTokens, rounds, seed } = options;
  return `${[
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; medians of ${rounds} rounds`,
    `a random qwen3_moe: ${layers} layers of ${experts} experts, hidden ${hidden}, intermediate ${intermediate}; one sequence, ${promptTokens} prompt tokens, ${newTokens} new`,
    'of read = (bytes that the slowest rank read / its loading time) / (bytes of all files / time of a plain read of them, warm, in the same round);',
    'read = bytes of tensors, the fewest and the most of a rank; resident = weights and KV cache of the rank that holds most; peak = most memory of its process,',
    'loading and first step; prefill/s = prompt tokens / time to the first token; decode/s = (new − 1) / rest',
    '',
    table([
      ['format × ranks', 'read', 'load', 'of read', 'resident', 'peak', 'prefill/s', 'decode/s'],
      ...rows.map((row) => [
        `${row.format} × ${row.ranks}`,
        [...new Set([Math.min(...row.bytes_read), Math.max(...row.bytes_read)].map(bytes))].join(' – '),
        `${(row.load_ms / 1000).toFixed(2)} s`,
        row.load_ratio.toFixed(2),
        bytes(row.resident_bytes),
        bytes(row.peak_rss_bytes),
        row.prefill_tokens_per_s.toFixed(0),
        row.decode_tokens_per_s.toFixed(1),
      ]),
    ]),
  ].join('\n')}\n`;
}
