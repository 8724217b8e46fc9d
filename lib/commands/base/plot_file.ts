/** `--plot FILE`: pictures as .svg, .png or .html. */
import { writeFile } from 'node:fs/promises';
import { balanceSpec, type BalancePictures } from '../../pictures/balance/balance_plots.js';
import { htmlPage } from '../../pictures/html.js';
import { renderPng, renderSvg } from '../../pictures/render.js';
import type { PlotSpec } from '../../pictures/spec.js';
import { UsageError } from './context.js';
import { outputFailed } from './output_file.js';

/** Before anything is computed for it. @throws UsageError for a name that says no format */
export function checkPlotFile(file: string | undefined): void {
  if (file === undefined || /\.(svg|png|html)$/.test(file)) return;
  throw new UsageError(`--plot ${file} is neither .svg, .png nor .html; give a file name that ends with one of them`);
}

/** Pictures of load and balance. @throws OutputError where it can't be written */
export const writePlot = (file: string, pictures: BalancePictures): Promise<void> =>
  writePlotSpec(file, pictures.title, balanceSpec(pictures));

/** Any pictures; `title`: of the page; `option`: that names the file. @throws OutputError where it can't be written */
export async function writePlotSpec(file: string, title: string, spec: PlotSpec, option = '--plot'): Promise<void> {
  const svg = await renderSvg(spec);
  const content = await contentOf(file, title, svg, spec);
  try {
    await writeFile(file, content);
  } catch (cause) {
    throw outputFailed(option, file, cause);
  }
}

async function contentOf(file: string, title: string, svg: string, spec: PlotSpec): Promise<string | Uint8Array> {
  if (file.endsWith('.png')) return renderPng(svg);
  return file.endsWith('.html') ? htmlPage(title, svg, spec) : `${svg}\n`;
}
