/** `expertwire report`: the report of an experiment's results, made again. */
import { join, resolve } from 'node:path';
import type { Argv } from 'yargs';
import { resultsOf } from '../../experiment/report/results.js';
import {
  PICTURE_FORMATS,
  REPORT_FILES,
  writeReport,
  type PictureFormat,
} from '../../experiment/report/write_report.js';
import { readResults } from '../../experiment/runs/read_results.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { OutputError } from '../base/output_file.js';

/** The options of `report` as yargs parses them. */
export interface ReportArgs {
  readonly folder: string;
  readonly formats: string;
}

/** Adds the folder and options of `report` to a command line. */
export function reportOptions<T>(yargs: Argv<T>): Argv<T & ReportArgs> {
  return yargs
    .positional('folder', {
      type: 'string',
      demandOption: true,
      describe: "of an experiment's results: what --output named, experiments/NAME by default",
    })
    .option('formats', {
      type: 'string',
      default: 'svg',
      describe: 'of pictures in plots/: svg, png (300 dpi) or both; report.md refers to the first',
    });
}

/**
 * Writes all files of a report into the folder and says which. An experiment that still runs may be looked at so.
 *
 * @throws UsageError for formats that there aren't; ExperimentError NO_RESULTS, BROKEN_RESULTS; OutputError
 */
export async function report({ folder, formats }: ReportArgs, { stdout }: CommandContext): Promise<void> {
  const wanted = formatsOf(formats);
  const path = resolve(folder);
  const { experiment, rows } = await readResults(path);
  const results = resultsOf(experiment, rows);
  const names = await writeReport(path, results, wanted).catch((cause: unknown) => {
    throw new OutputError(`the report in ${folder}`, cause);
  });
  const numFailed = rows.filter(({ status }) => status !== 'ok').length;
  const failed = numFailed === 0 ? '' : `, ${numFailed} failed`;
  const pictures = names.filter((name) => name.startsWith(REPORT_FILES.plots)).length;
  stdout.write(
    `${join(folder, REPORT_FILES.html)}: ${results.points.length} points, ${rows.length} runs${failed}\n` +
      `also ${[REPORT_FILES.markdown, REPORT_FILES.rows, REPORT_FILES.summary].join(', ')}` +
      `${pictures === 0 ? '' : ` and ${pictures} files of pictures in ${REPORT_FILES.plots}/`}\n`,
  );
}

function formatsOf(text: string): readonly PictureFormat[] {
  const given = text.split(',').map((format) => format.trim());
  const isFormat = (format: string): format is PictureFormat => (PICTURE_FORMATS as readonly string[]).includes(format);
  const wrong = given.find((format) => !isFormat(format));
  if (wrong !== undefined) {
    throw new UsageError(`--formats: there is no '${wrong}'; give ${PICTURE_FORMATS.join(', ')} or both with a comma`);
  }
  return [...new Set(given.filter(isFormat))];
}
