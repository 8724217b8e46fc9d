import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type * as z from 'zod';
import { checkMeasure } from '../../../../bench/index.js';
import { fileSchema } from '../../../../lib/experiment/file/file_schema.js';
import { readExperiment } from '../../../../lib/experiment/file/read_experiment.js';
import { RUNNER_SCHEMAS } from '../../../../lib/experiment/file/runner_schema.js';
import { RUNNER_KINDS } from '../../../../lib/experiment/base/runner.js';
import { MEASURES } from '../../../../lib/experiment/measures/measures.js';
import { keysIn } from '../../../../lib/config/key_types.js';
import { repoRoot } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const text = readFileSync(join(repoRoot(), 'docs', 'experiments.md'), 'utf8');
const blocks = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);
/** The file of the beginning, which others are parts of. */
const [whole = '', ...parts] = blocks;

const read = (file: string) =>
  withTempFolder(async (folder) => {
    const path = join(folder, 'two_ranks.yaml');
    await writeFile(path, file);
    return readExperiment(path, { cwd: repoRoot(), checkRun: checkMeasure });
  });

describe('docs/experiments.md', () => {
  it('begins with a file that works', async () => {
    const { experiment, runs } = await read(whole);
    expect(experiment.plots).to.have.length(2);
    expect(runs).to.have.length(12);
  });

  it('shows parts that work in such a file', async () => {
    expect(parts).to.have.length(3);
    const numbers = await Promise.all(
      parts.map(async (part) => {
        const key = part.split(':')[0]!;
        const others = whole.replace(new RegExp(`^${key}:.*\\n( .*\\n)*`, 'm'), '');
        // A benchmark has options of its own.
        const unused = key === 'measure' ? 'plots|baseline|base|workload|sweep' : 'plots|baseline';
        const fit = others.replace(new RegExp(`^(${unused}):.*\\n( .*\\n)*`, 'gm'), '');
        return (await read(fit + part)).runs.length;
      }),
    );
    expect(numbers).to.deep.equal([2 * 2 * 2 * 2 * 3, 2 * 2 * 3, 12]);
  });

  it('names every key of the file, of pictures, runners and workloads, and every setting', () => {
    const plot = keysIn(fileSchema, ['plots', 0]);
    const keys = [
      ...Object.keys(fileSchema.shape),
      ...plot,
      ...keysIn(fileSchema, ['sweep']),
      ...RUNNER_KINDS.flatMap((kind) => Object.keys(RUNNER_SCHEMAS[kind].shape)),
      ...Object.values(MEASURES).flatMap(({ settings, workload }) => [...keysOf(settings), ...keysOf(workload)]),
    ];
    expect(plot).to.include('facet');
    expect(keys.filter((key) => !new RegExp(`\`[^\`\n]*\\b${key}\\b`).test(text))).to.deep.equal([]);
  });

  it('names every measure with its workload', () => {
    for (const name of Object.keys(MEASURES)) expect(text).to.match(new RegExp(`^\\| \`${name}\` +\\|`, 'm'));
  });
});

const keysOf = (schema: z.ZodType): readonly string[] => keysIn(schema, []);
