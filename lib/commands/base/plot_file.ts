/** `--plot FILE`: pictures as .svg or .html. */
import { writeFile } from 'node:fs/promises';
import { balanceSpec, type BalancePictures, type PlotSpec } from '../../metrics/balance_plots.js';
import { htmlPage, renderSvg } from '../../metrics/render_plot.js';
import { UsageError } from './context.js';
import { outputFailed } from './output_file.js';

/** Before anything is computed for it. @throws UsageError for a name that says no format */
export function checkPlotFile(file: string | undefined): void {
  if (file === undefined || /\.(svg|html)$/.test(file)) return;
  throw new UsageError(`--plot ${file} is neither .svg nor .html; give a file name that ends with one of them`);
}

/** Pictures of load and balance. @throws OutputError where it can't be written */
export const writePlot = (file: string, pictures: BalancePictures): Promise<void> =>
  writePlotSpec(file, pictures.title, balanceSpec(pictures));

/** Any pictures; `title`: of the page. @throws OutputError where it can't be written */
export async function writePlotSpec(file: string, title: string, spec: PlotSpec): Promise<void> {
  const svg = await renderSvg(spec);
  try {
    await writeFile(file, file.endsWith('.html') ? htmlPage(title, svg, spec) : `${svg}\n`);
  } catch (cause) {
    throw outputFailed('--plot', file, cause);
  }
}
