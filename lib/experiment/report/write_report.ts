/** Reports of a folder of results, and tables and pictures for other tools, beside the results. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole } from '../../../base/whole_file.js';
import { HOVER_SCRIPT, HOVER_STYLE } from '../../pictures/hover.js';
import { renderPng, renderSvg } from '../../pictures/render.js';
import type { PlotSpec } from '../../pictures/spec.js';
import { figuresOf, type Document, type FigureBlock } from '../document/document.js';
import { html } from '../document/html.js';
import { markdown } from '../document/markdown.js';
import { withOwnIds } from '../document/own_ids.js';
import { resultsCsv, summaryCsv } from './csv.js';
import { reportOf } from './report.js';
import type { Results } from './results.js';

/** Of pictures; each is also written as its specification, `.vl.json`. */
export const PICTURE_FORMATS = ['svg', 'png'] as const;

/** One of {@link PICTURE_FORMATS}. */
export type PictureFormat = (typeof PICTURE_FORMATS)[number];

/** Files of a report, in the folder of results. */
export const REPORT_FILES = {
  html: 'report.html',
  markdown: 'report.md',
  rows: 'results.csv',
  summary: 'summary.csv',
  plots: 'plots',
} as const;

/**
 * Writes all of them anew, each whole or not at all, removes pictures of plots that are no more, and returns their names. Markdown refers to pictures of the first format.
 *
 * @throws what the file system throws
 */
export async function writeReport(
  folder: string,
  results: Results,
  formats: readonly PictureFormat[] = ['svg'],
): Promise<readonly string[]> {
  const report = reportOf(results);
  const figures = figuresOf(report.blocks);
  const svgs = await drawn(figures, (spec) => spec);
  const untitled = await drawn(figures, (spec) => ({ ...spec, title: undefined })); // a page says that below
  if (figures.length > 0) await mkdir(join(folder, REPORT_FILES.plots), { recursive: true });
  const pictures = await Promise.all(figures.map((figure) => pictureFiles(figure, svgs.get(figure.name)!, formats)));
  const pathOf = (name: string): string => `${REPORT_FILES.plots}/${name}.${formats[0] ?? 'svg'}`;
  const files: readonly (readonly [string, string | Uint8Array])[] = [
    [REPORT_FILES.html, page(report, untitled)],
    [REPORT_FILES.markdown, markdown(report, pathOf)],
    [REPORT_FILES.rows, resultsCsv(results.experiment, results.rows)],
    [REPORT_FILES.summary, summaryCsv(results.experiment, results.points)],
    ...pictures.flat(),
  ];
  for (const [name, content] of files) await writeWhole(join(folder, name), content);
  const names = files.map(([name]) => name);
  await removeOld(folder, new Set(names));
  return names;
}

const PICTURE_FILE = /\.(svg|png|vl\.json)$/;

/** Pictures of plots that the file has no more. */
async function removeOld(folder: string, names: ReadonlySet<string>): Promise<void> {
  const found = await readdir(join(folder, REPORT_FILES.plots)).catch(() => []); // no folder: no pictures
  const paths = found.filter((name) => PICTURE_FILE.test(name)).map((name) => `${REPORT_FILES.plots}/${name}`);
  for (const path of paths) if (!names.has(path)) await rm(join(folder, path), { force: true });
}

/** By name. */
async function drawn(
  figures: readonly FigureBlock[],
  specOf: (spec: PlotSpec) => PlotSpec,
): Promise<ReadonlyMap<string, string>> {
  const svgs = new Map<string, string>();
  for (const { name, spec } of figures) svgs.set(name, await renderSvg(specOf(spec)));
  return svgs;
}

/** Each file's name and content. */
async function pictureFiles(
  { name, spec }: FigureBlock,
  svg: string,
  formats: readonly PictureFormat[],
): Promise<(readonly [string, string | Uint8Array])[]> {
  const path = (ending: string): string => `${REPORT_FILES.plots}/${name}.${ending}`;
  const pictures = formats.map(
    async (format) => [path(format), format === 'svg' ? `${svg}\n` : await renderPng(svg)] as const,
  );
  return [...(await Promise.all(pictures)), [path('vl.json'), `${JSON.stringify(spec, null, 1)}\n`]];
}

const page = (report: Document, svgs: ReadonlyMap<string, string>): string =>
  html(report, { pictureOf: ({ name }) => withOwnIds(svgs.get(name)!, name), head: HOVER_STYLE, tail: HOVER_SCRIPT });
