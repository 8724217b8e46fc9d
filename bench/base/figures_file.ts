/** The file of `--json`, in which a benchmark leaves all its figures. */
import { writeFile } from 'node:fs/promises';
import { outputFailed } from '../../lib/commands/base/output_file.js';

/** Writes them, where a file was asked for. @throws OutputError */
export async function writeFigures(json: string | undefined, figures: object): Promise<void> {
  if (json === undefined) return;
  await writeFile(json, `${JSON.stringify(figures)}\n`).catch((cause: unknown) => {
    throw outputFailed('--json', json, cause);
  });
}
