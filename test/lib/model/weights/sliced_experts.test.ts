import { expect } from 'chai';
import type { StoredMatrix } from '../../../../compute/base/stored_matrix.js';
import { floatsOf, matrixOf, type WeightDtype, type WeightMatrix } from '../../../../compute/base/weight_matrix.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { expertSizesOf, moeLayersOf, wholeSizesOf, type ModelSpec } from '../../../../lib/model/spec/spec.js';
import { withSlices } from '../../../../lib/model/spec/slices.js';
import { openWeights, type ModelWeights } from '../../../../lib/model/stored/model_weights.js';
import { expertTensors } from '../../../../lib/model/weights/rank_tensors.js';
import { commonDtype } from '../../../../lib/model/weights/residence.js';
import { heldExperts } from '../../../../lib/model/weights/sliced_experts.js';
import { CheckpointExperts } from '../../../../lib/model/weights/weight_reader.js';
import { decodeToFloat32 } from '../../../../lib/weights/dtypes.js';
import { WeightError } from '../../../../lib/weights/errors.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { readStoredModels, writeStoredModel } from '../../../kit/model/stored_models.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';

/** Rows of floats. */
const rowsOf = (matrix: WeightMatrix): number[][] => {
  const values = floatsOf(matrix);
  return Array.from({ length: matrix.rows }, (_, row) => [
    ...values.subarray(row * matrix.columns, (row + 1) * matrix.columns),
  ]);
};

/** Read three rows at a time, into memory that holds something. */
async function read(stored: StoredMatrix): Promise<WeightMatrix> {
  const { rows, columns, rowBytes, dtype } = stored;
  const bytes = new Uint8Array(rows * rowBytes).fill(0xa5);
  for (let from = 0; from < rows; from += 3) {
    await stored.readRows(from, bytes.subarray(from * rowBytes, Math.min(rows, from + 3) * rowBytes));
  }
  return dtype === 'f16' ? matrixOf(decodeToFloat32(bytes, 'F16'), rows, columns) : { dtype, rows, columns, bytes };
}

/** What a slice should be. */
const part = (rows: number[][], rowFrom: number, numRows: number, from: number, width: number): number[][] =>
  Array.from({ length: numRows }, (_, r) =>
    Array.from({ length: width }, (_, c) => rows[rowFrom + r]?.[from + c] ?? 0),
  );

async function check(weights: ModelWeights, spec: ModelSpec, slices: number): Promise<void> {
  const layer = moeLayersOf(spec)[0]!;
  const names = expertTensors(spec, layer, 1).filter((name) => name.endsWith('.weight'));
  const as: WeightDtype = commonDtype(names.map((name) => weights.info(name).dtype));
  const whole = await new CheckpointExperts(weights, wholeSizesOf(spec), { as: () => as }).expert(layer, 1);
  const sliced = withSlices(spec, slices);
  const { hidden, intermediate: width } = expertSizesOf(sliced);
  const held = heldExperts(weights, sliced, { as: () => as });
  for (let s = 0; s < slices; s++) {
    const stored = held.stored(layer, slices + s);
    const parts = await held.expert(layer, slices + s);
    for (const name of ['gate', 'up', 'down'] as const) {
      const expected =
        name === 'down'
          ? part(rowsOf(whole.down), 0, hidden, s * width, width)
          : part(rowsOf(whole[name]), s * width, width, 0, hidden);
      expect(rowsOf(parts[name]), `${name} of slice ${s}`).to.deep.equal(expected);
      expect(rowsOf(await read(stored[name])), `${name} of slice ${s}, in pieces`).to.deep.equal(expected);
    }
  }
}

describe('slices of stored experts', () => {
  for (const model of readStoredModels().cases) {
    it(`are the parts of whole ones, decoded or not (${model.name})`, async () => {
      await withTempFolder(async (dir) => {
        await writeStoredModel(dir, model);
        const { config } = await readModelFiles(dir);
        const spec = modelSpecOf(config);
        const weights = await openWeights(dir, spec);
        for (const slices of [2, 3, 8]) await check(weights, spec, slices);
        await weights.close();
      });
    });
  }

  it('have the biases of their channels, and the first what is added once', async () => {
    const dir = tinyModel('tiny-gpt-oss');
    const { config } = await readModelFiles(dir);
    const spec = modelSpecOf(config);
    const weights = await openWeights(dir, spec);
    const { intermediate, hidden } = wholeSizesOf(spec);
    const { biases } = await heldExperts(weights, spec).expert(0, 3);
    const held = heldExperts(weights, withSlices(spec, 2));
    const half = intermediate / 2;
    for (const s of [0, 1]) {
      const { biases: own } = await held.expert(0, 6 + s);
      const of = (from: number): number[] => [...biases!.subarray(from + s * half, from + (s + 1) * half)];
      const down = s === 0 ? [...biases!.subarray(2 * intermediate)] : Array<number>(hidden).fill(0);
      expect([...own!]).to.deep.equal([...of(0), ...of(intermediate), ...down]);
      expect([...(await held.stored(0, 6 + s).biases!())]).to.deep.equal([...own!]);
    }
    await weights.close();
  });

  it('prove what they are by the digest of the whole expert', async () => {
    const dir = tinyModel('tiny-mixtral');
    const { config } = await readModelFiles(dir);
    const spec = modelSpecOf(config);
    const weights = await openWeights(dir, spec);
    const digests = new Map<string, string>();
    const onDigest = (key: string, digest: string): void => void digests.set(key, digest);
    await new CheckpointExperts(weights, wholeSizesOf(spec), { onDigest }).expert(0, 5);
    const held = heldExperts(weights, withSlices(spec, 2));
    await held.expert(0, 11, digests.get('0.5'));
    const error = await errorOf(WeightError, () => held.expert(0, 12, digests.get('0.5')));
    expect(error.code).to.equal('WEIGHTS_DIFFER');
    await weights.close();
  });
});
