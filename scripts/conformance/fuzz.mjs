// Runs the golden files of a folder in all computes: each case agrees with transformers, or is refused, or goes with the authors. It takes the compiled tests' kit from dist.
//   node scripts/conformance/fuzz.mjs FOLDER
import { Console } from 'node:console';
import { readdirSync } from 'node:fs';
import process from 'node:process';
import { FAMILIES } from '../../dist/lib/model/families/registry.js';
import { ModelError } from '../../dist/lib/model/spec/errors.js';
import { WeightError } from '../../dist/lib/weights/errors.js';
import { readConformance } from '../../dist/test/kit/model/conformance.js';
import { ConformanceRun } from '../../dist/test/kit/model/conformance_run.js';
import { AUTHORS } from '../../dist/test/kit/model/refused_configs.js';

const TOLERANCE = 1e-4;
const folder = process.argv[2];
const console = new Console(process.stdout);
let numWrong = 0;

/** What is wrong with a case; null: nothing, or it is refused, by a message. */
async function complaintOf(run, golden, compute, refusals) {
  try {
    const error = await run.errorOf(golden, compute);
    return error === null || error < TOLERANCE ? null : `differs by ${error.toExponential(1)}`;
  } catch (error) {
    if (!(error instanceof ModelError || error instanceof WeightError)) return `fails: ${error.message}`;
    refusals.add(error.message.replace(/^\w+: config\.json: /, '').slice(0, 100));
    return null;
  }
}

for (const file of readdirSync(folder).sort()) {
  const family = file.replace(/\.json$/, '');
  if (!Object.hasOwn(FAMILIES, family)) {
    console.log(`${family}: not in the registry`);
    continue;
  }
  const goldens = readConformance(family, folder);
  const authors = AUTHORS[family] ?? [];
  const isJudged = ({ name, logits }) => logits !== null && !authors.some((each) => name.includes(each));
  const cases = goldens.cases.filter(isJudged);
  const refusals = new Set();
  const run = new ConformanceRun(goldens);
  for (const compute of run.computes) {
    for (const golden of cases) {
      const complaint = await complaintOf(run, golden, compute, refusals);
      if (complaint === null) continue;
      numWrong++;
      console.log(`${family}, ${compute}, ${golden.name}: ${complaint}`);
    }
  }
  console.log(`${family}: ${cases.length} cases; refused: ${[...refusals].sort().join(' | ')}`);
}
process.exitCode = numWrong > 0 ? 1 : 0;
