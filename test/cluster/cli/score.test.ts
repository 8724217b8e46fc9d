/** The command line as a user meets it: results of score come on standard output and in its file. */
import { expect } from 'chai';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { moe7mCases, tinyGolden } from '../../kit/model/goldens.js';
import { copyModel } from '../../kit/model/model_copy.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { Processes } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { commandLine, expectFailure, expectSuccess, json, ids } from '../../kit/processes/command_line.js';

const processes = new Processes();
const expertwire = commandLine(processes);
const DEEPSEEK = tinyModel('tiny-deepseek-v3');
const QWEN = tinyModel('tiny-qwen3-moe');
const [MELVILLE] = moe7mCases();

describe('expertwire score', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const golden = tinyGolden('tiny-deepseek-v3');

  it('--logits writes the golden logits, and the log-probabilities and perplexity follow from them', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'f.npy');
      const args = ['score', '--model', DEEPSEEK, '--ids', ids(golden.prompt_token_ids), '--ranks', '2'];
      const run = expertwire([...args, '--logits', file, '--json']);
      const result = json(expectSuccess(await run));
      expect(result).to.have.all.keys('token_ids', 'logprobs', 'perplexity', 'routed_experts');
      const logits = readNpy(await readFile(file));
      expect(logits.map((row) => row.length)).to.deep.equal(golden.logits.map((row) => row.length));
      const worst = Math.max(
        ...golden.logits.flatMap((row, t) => row.map((value, v) => Math.abs(value - logits[t]![v]!))),
      );
      expect(worst).to.be.below(1e-4);
      const logprobs = golden.prompt_token_ids.slice(1).map((id, t) => {
        const row = logits[t]!;
        const highest = Math.max(...row);
        return row[id]! - highest - Math.log(row.reduce((sum, value) => sum + Math.exp(value - highest), 0));
      });
      const [none, ...printed] = result.logprobs as (number | null)[];
      expect(none).to.equal(null);
      printed.forEach((logprob, t) => expect(logprob).to.be.closeTo(logprobs[t]!, 1e-9));
      const mean = logprobs.reduce((a, b) => a + b, 0) / logprobs.length;
      expect(result.perplexity).to.be.closeTo(Math.exp(-mean), 1e-9);
    });
  });

  it('a failed job leaves no half-written .npy file', async () => {
    await withTempFolder(async (dir) => {
      const model = join(dir, 'model');
      await mkdir(model);
      await copyModel(QWEN, model);
      await writeFile(join(model, 'model.safetensors'), 'nothing');
      const file = join(dir, 'f.npy');
      expectFailure(
        await expertwire(['score', '--model', model, '--ids', '1,2', '--logits', file]),
        1,
        'MALFORMED_SAFETENSORS',
      );
      const error: unknown = await readFile(file).then(
        () => null,
        (cause: unknown) => cause,
      );
      expect(error).to.have.property('code', 'ENOENT');
    });
  });

  it('prints a line for each token of a text', async () => {
    const stdout = expectSuccess(await expertwire(['score', '--model', moe7m(), '--text', MELVILLE!.prompt]));
    const lines = stdout.trimEnd().split('\n');
    expect(lines).to.have.length(1 + 15 + 1);
    expect(lines[0]).to.equal('position\ttoken\ttext\tlogprob\texperts per MoE layer');
    expect(lines.slice(1, -1).map((line) => Number(line.split('\t')[1]))).to.deep.equal(MELVILLE!.prompt_token_ids);
    expect(lines.at(-1)).to.match(/^perplexity \d+\.\d{4} over 14 tokens$/);
  });
});

/** Rows of a NumPy 1.0 file of little-endian float32, read by the format's own description. */
function readNpy(file: Buffer): number[][] {
  expect(file.toString('latin1', 0, 8)).to.equal('\x93NUMPY\x01\x00');
  const dataBegin = 10 + file.readUInt16LE(8);
  const header = file.toString('latin1', 10, dataBegin);
  expect(header).to.include("'descr': '<f4'").and.to.include("'fortran_order': False");
  const [, numRows, numColumns] = /'shape': \((\d+), (\d+)\)/.exec(header)!.map(Number) as [number, number, number];
  expect(file.length).to.equal(dataBegin + 4 * numRows * numColumns);
  return Array.from({ length: numRows }, (_, row) =>
    Array.from({ length: numColumns }, (_, column) => file.readFloatLE(dataBegin + 4 * (row * numColumns + column))),
  );
}
