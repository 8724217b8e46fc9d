import { expect } from 'chai';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, type ConfigErrorCode } from '../../../../lib/config/errors.js';
import { readExperiment } from '../../../../lib/experiment/file/read_experiment.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

/** An experiment without a fault, in which each case changes one thing. */
const TEXT = `
name: balance
description: what a reader wants to know
base:
  model: ${tinyModel('tiny-mixtral')}
  parallel: { threads: 1 }
  engine: { max_model_len: 64 }
  generate: { max_new_tokens: 4, ignore_eos: true }
workload:
  prompts:
    - { label: first, token_ids: [1, 2, 3] }
measure: { kind: generate, routing: false }
sweep:
  grid:
    parallel.ranks: [1, 2]
    comm.reduce: [rank, source]
  zip:
    engine.max_num_seqs: [8, 16]
    engine.block_size: [4, 8]
  list:
    - { label: plain }
    - { label: small, comm.wire.dispatch: bf16 }
repeats: 2
seeds: [1, 2]
warmup: 1
baseline: { label: plain }
timeout_s: 300
parallel: 1
runner: { kind: slurm, cpus: 2, extra: [--reservation=mine] }
plots:
  - { x: parallel.ranks, y: tokens_per_s, color: label, scale: { x: log }, ratio: true }
  - { mark: heat, x: parallel.ranks, y: label, color: bytes_per_token }
`.trimStart();

/** What stands there, what is there instead, what is said of it, and where: default, at what stands there. */
type Typo = readonly [from: string, to: string, code: ConfigErrorCode, says: RegExp, line?: string];

const TYPOS: Readonly<Record<string, readonly Typo[]>> = {
  'of the file': [
    ['name: balance', 'nmae: balance', 'UNKNOWN_KEY', /no key "nmae" in an experiment; did you mean "name"\?/],
    ['name: balance', 'name: ../balance', 'INVALID_VALUE', /"name" is "\.\.\/balance"; allowed is a name of letters/],
    ['repeats: 2', 'repeat: 2', 'UNKNOWN_KEY', /no key "repeat" in an experiment; did you mean "repeats"\?/],
    ['repeats: 2', 'repeats: two', 'WRONG_TYPE', /"repeats" is "two"; allowed is an integer from 1/],
    ['repeats: 2', 'repeats: 0', 'INVALID_VALUE', /"repeats" is 0; allowed is an integer from 1/],
    ['seeds: [1, 2]', 'seeds: 3', 'WRONG_TYPE', /"seeds" is 3; allowed is a list of different integers/],
    ['seeds: [1, 2]', 'seeds: [1, 1.5]', 'INVALID_VALUE', /"seeds.1" is 1.5; allowed is an integer/],
    ['seeds: [1, 2]', 'seeds: [1, 1]', 'INVALID_VALUE', /"seeds" is \[1,1\]; allowed is a list of different integers/],
    ['warmup: 1', 'warmup: -1', 'INVALID_VALUE', /"warmup" is -1/],
    ['timeout_s: 300', 'timeout_s: 0', 'INVALID_VALUE', /"timeout_s" is 0; allowed is a number of seconds > 0/],
    ['timeout_s: 300', 'timeout: 300', 'UNKNOWN_KEY', /did you mean "timeout_s"\?/],
    ['parallel: 1', 'parallel: 1.5', 'INVALID_VALUE', /"parallel" is 1.5; allowed is an integer/],
    ['warmup: 1', 'warmup: 1: 2', 'INVALID_YAML', /correct the YAML/],
    ['repeats: 2', 'name: again', 'INVALID_YAML', /Map keys must be unique/],
  ],
  'of the runner': [
    ['kind: slurm', 'kind: slrum', 'INVALID_VALUE', /"runner" is "slrum"; did you mean "slurm"\? \(runners are local/],
    ['kind: slurm, ', '', 'MISSING_KEY', /"runner.kind" is missing; give one of local, slurm/],
    ['runner: {', 'runer: {', 'UNKNOWN_KEY', /no key "runer" in an experiment; did you mean "runner"\?/],
    ['cpus: 2', 'cpu: 2', 'UNKNOWN_KEY', /no key "cpu" in "runner"; did you mean "cpus"\? \(its keys are partition/],
    ['cpus: 2', 'cpus: two', 'WRONG_TYPE', /"runner.cpus" is "two"; allowed is an integer from 1 to 65536, or null/],
    ['cpus: 2', 'memory: 8 GiB', 'INVALID_VALUE', /"runner.memory" is "8 GiB"; allowed is a text as sbatch --mem/],
    ['cpus: 2', 'time: 1h', 'INVALID_VALUE', /"runner.time" is "1h"; allowed is a text as sbatch --time/],
    ['[--reservation=mine]', '[--array=1-9]', 'INVALID_VALUE', /"runner.extra.0" is "--array=1-9"; allowed is a list/],
    ['kind: slurm', 'kind: local', 'UNKNOWN_KEY', /no key "cpus" in "runner"; remove it \(it has none\)/],
    [
      '{ kind: slurm, cpus: 2, extra: [--reservation=mine] }',
      'nats',
      'MISSING_KEY',
      /"runner.bus" is missing; give nats/,
    ],
  ],
  'of the base': [
    ['  engine: {', '  engin: {', 'UNKNOWN_KEY', /no key "engin" in the top level; did you mean "engine"\?/],
    ['max_model_len', 'max_modl_len', 'UNKNOWN_KEY', /did you mean "engine.max_model_len"\?/],
    ['max_model_len: 64', 'max_model_len: 0', 'INVALID_VALUE', /"engine.max_model_len" is 0/],
    ['threads: 1', 'threads: one', 'INVALID_VALUE', /"parallel.threads" is "one"; allowed is auto or an integer/],
    [
      `  model: ${tinyModel('tiny-mixtral')}\n`,
      '',
      'MISSING_KEY',
      /"base.model" is missing, and generate runs an engine/,
      'base:',
    ],
    ['tiny-mixtral', 'tiny-mistral', 'NOT_FOUND', /"model" is ".*tiny-mistral", but there is no such folder/],
    [
      'threads: 1',
      'threads: 1, spare_ranks: 2, max_ranks: 1',
      'INVALID_VALUE',
      /"parallel.max_ranks" is 1, and 3 are needed/,
    ],
  ],
  'of the workload': [
    ['  prompts:', '  promts:', 'UNKNOWN_KEY', /no key "promts" in "workload"; did you mean "prompts"\?/],
    ['label: first', 'lable: first', 'UNKNOWN_KEY', /no key "lable" in "workload.prompts.0"; did you mean "label"\?/],
    ['[1, 2, 3]', '[1, 2, x]', 'WRONG_TYPE', /"workload.prompts.0.token_ids.2" is "x"/],
    ['[1, 2, 3]', '[1, 2, 999999]', 'INVALID_VALUE', /token id 999999 is outside the model's vocabulary/, 'workload:'],
    [
      '  prompts:\n    -',
      '  prompts_file: none.txt #',
      'NOT_FOUND',
      /"workload.prompts_file" is "none.txt", but there is no/,
    ],
  ],
  'of the measure': [
    ['kind: generate', 'kind: genrate', 'INVALID_VALUE', /"measure" is "genrate"; did you mean "generate"\?/],
    ['kind: generate, ', '', 'MISSING_KEY', /"measure.kind" is missing; give one of generate, score/],
    ['measure: {', 'mesure: {', 'UNKNOWN_KEY', /no key "mesure" in an experiment; did you mean "measure"\?/],
    ['routing: false', 'routng: false', 'UNKNOWN_KEY', /no key "routng" in "measure"; did you mean "routing"\?/],
    ['routing: false', 'routing: no', 'WRONG_TYPE', /"measure.routing" is "no"; allowed is true or false/],
  ],
  'of the sweep': [
    [
      '  grid:',
      '  gird:',
      'UNKNOWN_KEY',
      /no key "gird" in "sweep"; did you mean "grid"\? \(its keys are grid, zip, list\)/,
    ],
    [
      'parallel.ranks: [1',
      'parallel.rank: [1',
      'UNKNOWN_KEY',
      /no key "rank" in "parallel"; did you mean "parallel.ranks"\?/,
    ],
    [
      'parallel.ranks: [1, 2]',
      'parallel.ranks: 2',
      'WRONG_TYPE',
      /"sweep.grid.parallel.ranks" is 2; allowed is a list of values/,
    ],
    [
      'parallel.ranks: [1, 2]',
      'parallel.ranks: []',
      'INVALID_VALUE',
      /"sweep.grid.parallel.ranks" is \[\]; allowed is a list of values/,
    ],
    [
      'parallel.ranks: [1, 2]',
      'parallel: { ranks: [1, 2] }',
      'WRONG_TYPE',
      /"sweep.grid.parallel" is .*allowed is a list of values, under the whole name/,
    ],
    [
      'parallel.ranks: [1, 2]',
      'parallel.ranks: [1, two]',
      'WRONG_TYPE',
      /"parallel.ranks" is "two"; allowed is an integer/,
    ],
    ['parallel.ranks: [1, 2]', 'parallel.ranks: [1, 1]', 'INVALID_VALUE', /\{"parallel.ranks":1\} occurs twice/],
    ['[rank, source]', '[rank, sorce]', 'INVALID_VALUE', /"comm.reduce" is "sorce" \(did you mean "source"\?\)/],
    [
      '[4, 8]',
      '[4, 8, 16]',
      'INVALID_VALUE',
      /"engine.block_size" has 3 values, and "engine.max_num_seqs" beside it 2/,
    ],
    [
      '    engine.block_size',
      '    comm.reduce',
      'INVALID_VALUE',
      /"comm.reduce" is swept here, and already in sweep.grid \(line 15\)/,
    ],
    [
      '    engine.block_size',
      '    engine',
      'INVALID_VALUE',
      /"engine" is swept here, and "engine.max_num_seqs" in sweep.zip/,
    ],
    ['comm.wire.dispatch: bf16', 'comm.wire.dispach: bf16', 'UNKNOWN_KEY', /did you mean "comm.wire.dispatch"\?/],
    [
      'comm.wire.dispatch: bf16',
      'comm.wire.dispatch: bf8',
      'INVALID_VALUE',
      /"comm.wire.dispatch" is "bf8" \(did you mean "bf16"\?\)/,
    ],
    [
      'comm.wire.dispatch: bf16',
      'worklod.random: null',
      'UNKNOWN_KEY',
      /no key "worklod.random" to sweep; did you mean "workload.random"\?/,
    ],
    [
      'comm.wire.dispatch: bf16',
      'workload.promps: []',
      'UNKNOWN_KEY',
      /no key "promps" in "workload"; did you mean "prompts"\?/,
    ],
    [
      'comm.wire.dispatch: bf16',
      'measure.routin: true',
      'UNKNOWN_KEY',
      /no key "routin" in "measure"; did you mean "routing"\?/,
    ],
    ['comm.wire.dispatch: bf16', 'measure.kind: scor', 'INVALID_VALUE', /"measure" is "scor"; did you mean "score"\?/],
    [
      'comm.wire.dispatch: bf16',
      'measure.routing.top: 1',
      'WRONG_TYPE',
      /"measure.routing" is false, which has no keys/,
    ],
    ['label: small', 'label: plain', 'INVALID_VALUE', /"label" is "plain" of two points/],
    ['label: small', 'label: 3', 'WRONG_TYPE', /"label" is 3; allowed is a name/],
    ['parallel.ranks: [1, 2]', 'parallel.ranks: [1, 4000000]', 'INVALID_VALUE', /"parallel.ranks" is 4000000/],
    [
      'engine.max_num_seqs: [8, 16]',
      'experts.num_redundant_experts: [0, 3]',
      'INVALID_VALUE',
      /with .*experts.num_redundant_experts 3.*: "experts.num_redundant_experts"/,
    ],
  ],
  'of the baseline': [
    [
      'baseline: { label: plain }',
      'baseline: { lable: plain }',
      'UNKNOWN_KEY',
      /"baseline" has lable, which isn't swept; did you mean "label"\?/,
    ],
    [
      'baseline: { label: plain }',
      'baseline: { label: plian }',
      'INVALID_VALUE',
      /"baseline" has label "plian", and no point has that; give one of "plain", "small"/,
    ],
    ['baseline: { label: plain }', 'baseline: plain', 'WRONG_TYPE', /"baseline" is "plain"; allowed is a mapping/],
  ],
  'of the plots': [
    [
      'y: tokens_per_s',
      'y: tokens_per_sec',
      'INVALID_VALUE',
      /"y" is "tokens_per_sec", .*; did you mean "tokens_per_s"\?/,
    ],
    ['y: tokens_per_s', 'y: tokens_sha256', 'INVALID_VALUE', /"y" is "tokens_sha256", which is a text and no number/],
    ['y: tokens_per_s, ', '', 'MISSING_KEY', /"plots.0.y" is missing/],
    ['color: label', 'colour: label', 'UNKNOWN_KEY', /no key "colour" in "plots.0"; did you mean "color"\?/],
    ['color: label', 'color: lable', 'INVALID_VALUE', /"color" is "lable", .*did you mean "label"\?/],
    ['color: bytes_per_token', 'color: comm.reduce', 'INVALID_VALUE', /"color" is "comm.reduce"/],
    ['scale: { x: log }', 'scale: { x: lgo }', 'INVALID_VALUE', /"plots.0.scale.x" is "lgo" \(did you mean "log"\?\)/],
    [
      'x: parallel.ranks, y: tokens',
      'x: label, y: tokens',
      'INVALID_VALUE',
      /"scale.x" is log, and label has the value "plain"/,
    ],
    ['mark: heat', 'mark: heatmap', 'INVALID_VALUE', /"plots.1.mark" is "heatmap".*; allowed is auto, line/],
    ['ratio: true', 'ratio: maybe', 'WRONG_TYPE', /"plots.0.ratio" is "maybe"; allowed is true or false/],
  ],
};

/** Reads a file of this text, `balance.yaml` in an empty folder, without a run. */
const read = (text: string) =>
  withTempFolder(async (cwd) => {
    await mkdir(join(cwd, 'configs'));
    await writeFile(join(cwd, 'balance.yaml'), text);
    return readExperiment('balance.yaml', { cwd });
  });

const lineOf = (text: string, at: number): number => text.slice(0, at).split('\n').length;

describe('a typo in an experiment’s file is found, with its line,', () => {
  before(async () => {
    expect((await read(TEXT)).runs).to.have.length(2 * 2 * 2 * 2 * 4);
  });

  for (const [place, typos] of Object.entries(TYPOS)) {
    for (const [from, to, code, says, line = from] of typos) {
      it(`${place}: ${to === '' ? `without ${from}` : to}`, async () => {
        const at = TEXT.indexOf(from);
        expect(at).to.be.at.least(0);
        const error = await errorOf(ConfigError, () => read(TEXT.replace(from, to)));
        expect(error.message).to.match(says);
        expect(error.code).to.equal(code);
        expect(error.message).to.match(new RegExp(`^${code}: balance.yaml:${error.line}: `));

        expect(error.line).to.equal(lineOf(TEXT, TEXT.indexOf(line)));
      });
    }
  }
});
