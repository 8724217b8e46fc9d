/** Experts that are made of several. */
import { expect } from 'chai';
import fc from 'fast-check';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assignment } from '../../../lib/prune/assignment.js';
import { alignment, type ExpertValues } from '../../../lib/prune/merged_expert.js';
import { mergeGroups } from '../../../lib/prune/merge_groups.js';
import { pruning } from '../../../lib/prune/prune_checkpoint.js';
import { moeLayersOf } from '../../../lib/model/spec/spec.js';
import { rewriteCheckpoint } from '../../../lib/rewrite/rewrite.js';
import { openSource, type RewriteSource } from '../../../lib/rewrite/source.js';
import { decodeToFloat32 } from '../../../lib/weights/dtypes.js';
import { WeightError } from '../../../lib/weights/errors.js';
import { bytesOfFloats } from '../../../lib/weights/float_bytes.js';
import { alikeFamilies, readConformance, writeConformanceModel } from '../../kit/model/conformance.js';
import { changeTensors, copyModel } from '../../kit/model/model_copy.js';
import { readSafetensors } from '../../kit/model/safetensors_writer.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { randomFrom, randomValues } from '../../refs/random.js';

/** All orders of 0 … n − 1. */
const orders = (n: number): number[][] =>
  n === 0
    ? [[]]
    : orders(n - 1).flatMap((order) => Array.from({ length: n }, (_, at) => order.toSpliced(at, 0, n - 1)));

const costOf = (cost: ArrayLike<number>, n: number, order: ArrayLike<number>): number =>
  Array.from({ length: n }, (_, row) => cost[row * n + order[row]!]!).reduce((a, b) => a + b, 0);

const withSource = async <T>(dir: string, use: (source: RewriteSource) => Promise<T>): Promise<T> => {
  const source = await openSource(dir);
  return use(source).finally(() => source.close());
};

/** Tensors of a folder by name, as bytes. */
async function tensorsIn(dir: string): Promise<Record<string, Uint8Array>> {
  const tensors = readSafetensors(await readFile(join(dir, 'model.safetensors')));
  return Object.fromEntries(tensors.map(({ name, bytes }) => [name, Uint8Array.from(bytes)]));
}

describe('merging experts', function () {
  this.timeout(60_000);

  it('pairs neurons as cheaply as any order of them', () => {
    const square = fc
      .integer({ min: 1, max: 6 })
      .chain((n) => fc.array(fc.integer({ min: -9, max: 9 }), { minLength: n * n, maxLength: n * n }));
    fc.assert(
      fc.property(square, (cost) => {
        const n = Math.sqrt(cost.length);
        const found = assignment(Float64Array.from(cost), n);
        expect([...found].sort()).to.deep.equal(Array.from({ length: n }, (_, i) => i));
        const least = Math.min(...orders(n).map((order) => costOf(cost, n, order)));
        expect(costOf(cost, n, found)).to.equal(least);
      }),
    );
  });

  it('finds neurons again that lie in another order', () => {
    const shape = { hidden: 24, intermediate: 16 };
    const values = (seed: number, length: number): Float32Array => randomValues(randomFrom(seed), length);
    const own: ExpertValues = {
      'gate_proj.weight': values(1, 384),
      'up_proj.weight': values(2, 384),
      'down_proj.weight': values(3, 384),
    };
    const order = [3, 1, 15, 0, 2, 14, 13, 12, 4, 5, 6, 7, 8, 9, 10, 11];
    const rows = (matrix: Float32Array): Float32Array =>
      matrix.map((_, at) => matrix[order[Math.floor(at / 24)]! * 24 + (at % 24)]!);
    const columns = (matrix: Float32Array): Float32Array =>
      matrix.map((_, at) => matrix[Math.floor(at / 16) * 16 + order[at % 16]!]!);
    const other: ExpertValues = {
      'gate_proj.weight': rows(own['gate_proj.weight']!),
      'up_proj.weight': rows(own['up_proj.weight']!),
      'down_proj.weight': columns(own['down_proj.weight']!),
    };
    expect(order.map((_, i) => order[alignment(own, other, shape)[i]!])).to.deep.equal([...order.keys()]);
  });

  it('sends each expert to the kept one with the most similar router logits, and weighs by frequency', () => {
    const logits = [
      [1, 0.9, 0, 0.1],
      [0, 0.2, 1, 0.9],
    ];
    const products = new Float64Array(16);
    for (const row of logits)
      for (let a = 0; a < 4; a++) for (let b = a; b < 4; b++) products[4 * a + b]! += row[a]! * row[b]!;
    expect(mergeGroups([0, 2], Float64Array.of(3, 1, 0, 5), products)).to.deep.equal([
      { experts: [0, 1], weights: [0.75, 0.25] },
      { experts: [2, 3], weights: [0, 1] },
    ]);
    expect(mergeGroups([0, 2], new Float64Array(4), products)).to.deep.equal([
      { experts: [0, 1], weights: [1, 0] },
      { experts: [2, 3], weights: [1, 0] },
    ]);
  });

  for (const family of alikeFamilies()) {
    it(`${family}: an expert that takes nobody in is the bytes that it was, in the layout that it had`, async () => {
      await withTempFolder(async (dir) => {
        const [golden] = readConformance(family).cases;
        const groups = Object.hasOwn(golden!.config, 'n_group') ? { n_group: 2, topk_group: 2 } : {};
        await writeConformanceModel(dir, { ...golden!, config: { ...golden!.config, ...groups } }, new Map());
        await withSource(dir, async (source) => {
          const { numExperts } = source.spec.moe.gate;
          const kept = moeLayersOf(source.spec).map(() => [
            1,
            0,
            ...Array.from({ length: numExperts - 2 }, (_, i) => i + 2),
          ]);
          const alone = kept.map((layer) => layer.map((expert) => ({ experts: [expert], weights: [1] })));
          const [plain, merged] = [join(dir, 'plain'), join(dir, 'merged')];
          await rewriteCheckpoint(source, plain, pruning(source, { criterion: 'any', kept }));
          await rewriteCheckpoint(source, merged, pruning(source, { criterion: 'any', kept, groups: alone }));
          expect(await tensorsIn(merged)).to.deep.equal(await tensorsIn(plain));
        });
      });
    });
  }

  it('experts that are alike but for the order of their neurons become one of them', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(tinyModel('tiny-qwen3-moe'), dir);
      const before = await tensorsIn(dir);
      const isTwin = /^(model\.layers\.\d+\.mlp\.experts\.)5(\.(gate|up|down)_proj\.weight)$/;
      await changeTensors(dir, (tensor) => {
        const [, prefix, rest] = isTwin.exec(tensor.name) ?? [];
        if (prefix === undefined) return tensor;
        const twin = Buffer.from(before[`${prefix}1${rest!}`]!);
        const [rows, columns] = tensor.shape as [number, number];
        const bytes = Buffer.alloc(twin.length);
        const size = twin.length / rows / columns;
        const isDown = rest!.includes('down');
        for (let r = 0; r < rows; r++) {
          for (let c = 0; c < columns; c++) {
            const from = isDown ? r * columns + (columns - 1 - c) : (rows - 1 - r) * columns + c;
            twin.copy(bytes, (r * columns + c) * size, from * size, (from + 1) * size);
          }
        }
        return { ...tensor, bytes };
      });
      await withSource(dir, async (source) => {
        const kept = moeLayersOf(source.spec).map(() => [0, 1, 2, 3]);
        const groups = kept.map((layer) =>
          layer.map((expert) =>
            expert === 1 ? { experts: [1, 5], weights: [0.25, 0.75] } : { experts: [expert], weights: [1] },
          ),
        );
        const out = join(dir, 'out');
        await rewriteCheckpoint(source, out, pruning(source, { criterion: 'any', kept, groups }));
        const after = await tensorsIn(out);
        const experts = Object.keys(after).filter((name) => name.includes('.experts.'));
        expect(experts).to.have.length(3 * 4 * kept.length);
        for (const name of experts) expect(after[name], name).to.deep.equal(before[name]);
      });
    });
  });

  it('is refused for codes, by the tensor’s name', async () => {
    await withSource(tinyModel('tiny-deepseek-v3-fp8'), async (source) => {
      const { numExperts } = source.spec.moe.gate;
      const kept = moeLayersOf(source.spec).map(() => Array.from({ length: numExperts / 2 }, (_, i) => 2 * i));
      const groups = kept.map((layer) =>
        layer.map((expert) => ({ experts: [expert, expert + 1], weights: [0.5, 0.5] })),
      );
      const error = await errorOf(WeightError, () => pruning(source, { criterion: 'any', kept, groups }));
      expect(error.message).to.match(
        /^UNKNOWN_DTYPE: tensor "model\.layers\.\d\.mlp\.experts\.\d\.[\w.]+" .*codes can't be summed; merge the checkpoint before/,
      );
    });
  });

  it('numbers become halves and back without loss, and others the nearest, ties to even', () => {
    const words = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const halves = decodeToFloat32(new Uint8Array(words.buffer), 'F16');
    const back = new Uint16Array(bytesOfFloats(halves, 'F16').buffer);
    halves.forEach((half, i) => {
      if (!Number.isNaN(half)) expect(back[i]).to.equal(i);
    });
    for (let i = 0; i < 0x7bff; i++) {
      const middle = (halves[i]! + halves[i + 1]!) / 2;
      const even = i % 2 === 0 ? i : i + 1;
      const near = Float32Array.of(middle, middle * (1 - 2 ** -20), middle * (1 + 2 ** -20), -middle);
      const made = [...new Uint16Array(bytesOfFloats(near, 'F16').buffer)];
      if (made.join() !== [even, i, i + 1, 0x8000 + even].join())
        expect(made).to.deep.equal([even, i, i + 1, 0x8000 + even]);
    }
    const odd = Float32Array.of(65_519.99, 65_520, Infinity, -Infinity, NaN, 2 ** -26, 1e-30);
    expect([...new Uint16Array(bytesOfFloats(odd, 'F16').buffer)]).to.deep.equal([
      ...[0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x7e00, 0, 0],
    ]);
  });
});
