/** Quantised checkpoints here, and as transformers reads them. */
import { expect } from 'chai';
import { join } from 'node:path';
import { tensorShapesOf } from '../../../../lib/model/spec/tensor_shapes.js';
import { madeTensor } from '../../../../lib/rewrite/new_tensors.js';
import { rewriteCheckpoint } from '../../../../lib/rewrite/rewrite.js';
import { openSource } from '../../../../lib/rewrite/source.js';
import { scoreIds } from '../../../kit/engine/engines.js';
import { startLocalEngine } from '../../../kit/engine/local_engine.js';
import { QUANTISED_MODELS, readQuantisedGolden, writeQuantisedModel } from '../../../kit/model/quantised_models.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const TOLERANCE = 1e-4;

async function logitsOf(dir: string, tokens: readonly number[]): Promise<Float32Array> {
  const local = await startLocalEngine(dir, { numRanks: 2 });
  const { logits } = await scoreIds(local.engine, tokens).finally(() => local.close());
  return logits;
}

/** A folder with all weights as float32 numbers, which is what codes stand for. */
async function writeDecoded(dir: string, out: string): Promise<void> {
  const source = await openSource(dir);
  try {
    const tensors = [...tensorShapesOf(source.spec)]
      .filter(({ name }) => source.weights.has(name))
      .map(({ name, shape }) =>
        madeTensor({ name, dtype: 'F32', shape }, async () => {
          const values = await source.weights.floats(name, shape as [number, ...number[]]);
          return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
        }),
      );
    const edits = [{ path: ['quantization_config'], value: undefined } as const];
    await rewriteCheckpoint(source, out, { tensors, edits, notes: {} });
  } finally {
    await source.close();
  }
}

describe('a quantised checkpoint', function () {
  this.timeout(60_000);

  const { tokens, logits } = readQuantisedGolden();
  for (const model of QUANTISED_MODELS) {
    const { name, isInTransformers } = model;
    const there = isInTransformers ? `, and those of transformers within ${TOLERANCE} of the largest` : '';
    it(`${name} has the logits of its decoded weights, to the bit${there}`, async () => {
      await withTempFolder(async (parent) => {
        const [dir, decoded] = [join(parent, 'small'), join(parent, 'decoded')];
        await writeQuantisedModel(model, dir);
        await writeDecoded(dir, decoded);
        const actual = await logitsOf(dir, tokens);
        expect(actual).to.deep.equal(await logitsOf(decoded, tokens));
        if (!isInTransformers) return;
        const expected = logits[name]!.flat();
        const size = Math.max(1, ...expected.map(Math.abs));
        expect(actual).to.have.length(expected.length);
        expect(Math.max(...expected.map((value, i) => Math.abs(value - actual[i]!))) / size).to.be.lessThan(TOLERANCE);
      });
    });
  }
});
