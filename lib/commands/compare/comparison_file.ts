/** `--output FILE` of a comparison: pictures, or a table for other tools. */
import { writeFile } from 'node:fs/promises';
import { stringify } from 'csv-stringify/sync';
import type { ComparisonResult, Divergence } from '../../compare/comparison.js';
import { perplexityOf } from '../../compare/text_pass.js';
import { comparisonSpec } from '../../pictures/compare/comparison_plots.js';
import { UsageError } from '../base/context.js';
import { outputFailed } from '../base/output_file.js';
import { writePlotSpec } from '../base/plot_file.js';

/** Before anything is computed for it. @throws UsageError for a name that says no format */
export function checkCompareFile(file: string | undefined): void {
  if (file === undefined || /\.(svg|png|html|csv)$/.test(file)) return;
  throw new UsageError(`--output ${file} is neither .svg, .png, .html nor .csv; give a file name that ends with one`);
}

/** @throws OutputError */
export async function writeComparison(file: string, result: ComparisonResult): Promise<void> {
  if (!file.endsWith('.csv')) {
    const { title, spec } = comparisonSpec(result);
    return writePlotSpec(file, title, spec, '--output');
  }
  try {
    await writeFile(file, comparisonCsv(result));
  } catch (cause) {
    throw outputFailed('--output', file, cause);
  }
}

/** A line for the whole model, whose layer is "all", and one for each layer. Pure. */
export function comparisonCsv(result: ComparisonResult): string {
  const { a, b, layers, routingAgreement, numPlaces } = result;
  const sides = {
    ...{ a: a.name, b: b.name, places: numPlaces },
    ...{ perplexity_a: perplexityOf(a.reading.logprobs), perplexity_b: perplexityOf(b.reading.logprobs) },
    ...{ resident_bytes_a: a.residentBytes, resident_bytes_b: b.residentBytes },
    ...{ checkpoint_bytes_a: a.checkpointBytes, checkpoint_bytes_b: b.checkpointBytes },
  };
  const line = (layer: string, of: Divergence | null, hiddenError: number | null, routing: number | null): object => ({
    ...{ layer, kl_nats: of?.kl, top1_agreement: of?.top1Agreement, rms_logit_error: of?.rmsLogitError },
    ...{ max_logit_error: of?.maxLogitError, hidden_error: hiddenError, routing_agreement: routing, ...sides },
  });
  const lines = [
    line('all', result, null, routingAgreement),
    ...layers.map(({ layer, lens, hiddenError, routingAgreement: own }) => line(String(layer), lens, hiddenError, own)),
  ];
  return stringify(lines, { header: true });
}
