/** What hooks are told, against what transformers computes inside the same checkpoints, and a slow router. */
import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GOLDEN_MODELS, goldenOf } from '../../../contracts/golden_contract.js';
import { startLocalEngine, type LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { hasInsideGolden, insideGolden, Seen, type InsideGolden } from '../../../kit/engine/seen.js';
import { tinyModel } from '../../../kit/paths.js';
import { readSafetensors } from '../../../kit/model/safetensors_writer.js';
import { routeRef, scoresOf } from '../../../refs/gate_ref.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';

const MAX_ERROR = 1e-4;

describe('hooks are told what transformers computes', () => {
  for (const name of GOLDEN_MODELS.filter(hasInsideGolden)) {
    for (const [compute, slices] of [
      ['kernels', 1],
      ['tensors', 1],
      ['kernels', 2],
    ] as const) {
      const of = slices === 1 ? '' : ' and experts in two slices';
      it(`inside ${name}, on three ranks with ${compute}${of}, in chunks`, async () => {
        const own = [`compute=${compute}`, `experts.slices=${slices}`];
        const set = [...own, 'engine.max_num_batched_tokens=10', 'engine.max_num_seqs=2'];
        const { seen, spec } = await scored(name, { numRanks: 3, set });
        const golden = insideGolden(name);
        checkHidden(seen, golden, spec);
        checkRouters(seen, golden, spec);
        checkOutputs(seen, golden, spec);
      });
    }
  }
});

describe('what hooks are told', () => {
  const name = 'tiny-deepseek-v3';
  const golden = goldenOf(name);

  it('has the same bits for any ranks, sums, chunks and micro-batches', async () => {
    const bits = (await scored(name, { numRanks: 1 })).seen.bits();
    const others: LocalEngineOptions[] = [
      { numRanks: 3 },
      { numRanks: 2, microBatches: 2, set: ['engine.max_num_batched_tokens=5', 'engine.max_num_seqs=1'] },
    ];
    for (const options of others) expect((await scored(name, options)).seen.bits()).to.deep.equal(bits);
  });

  it('are logits behind each layer: the last one’s are those of the model, the others what a slow norm and head make of the states', async () => {
    for (const compute of ['kernels', 'tensors']) {
      for (const numMemories of [1, 2]) {
        const logits: Float32Array[] = [];
        const options = { numRanks: 2, numMemories, set: [`compute=${compute}`] };
        const { seen, spec } = await scored(name, options, (values) => void logits.push(values.slice()));
        const all = Float32Array.from(logits.flatMap((values) => [...values]));
        for (const position of golden.prompt_token_ids.keys()) {
          const own = all.subarray(position * spec.vocabSize, (position + 1) * spec.vocabSize);
          expect([...seen.at('lensLogits', 2, position).values]).to.deep.equal([...own]);
          const states = seen.at('hiddenAfter', 0, position).values;
          const expected = await slowLogits(name, states, spec);
          expectNear(seen.at('lensLogits', 0, position).values, expected, `lens of ${position}`);
        }
      }
    }
  });

  it('are the normed states that experts take: a slow router makes the logits of them', async () => {
    const layer = 1;
    const gate = await storedFloats(name, `model.layers.${layer}.mlp.gate.weight`);
    for (const compute of ['kernels', 'tensors']) {
      const { seen } = await scored(name, { numRanks: 2, set: [`compute=${compute}`] });
      for (const position of golden.prompt_token_ids.keys()) {
        const { values } = seen.at('moeInput', layer, position);
        const logits = seen.at('routerLogits', layer, position).values;
        expectNear(logits, productOf(gate, values), `${compute}, router of ${position}`);
      }
    }
  });

  it('changes nothing of what is computed', async () => {
    for (const reduce of ['source', 'rank'] as const) {
      const plain = await logitsOf(name, { numRanks: 3, reduce }, []);
      const looked = await logitsOf(name, { numRanks: 3, reduce }, [new Seen().hook]);
      expect(looked.equals(plain), reduce).to.equal(true);
    }
  });
});

async function scored(
  name: string,
  options: LocalEngineOptions,
  onLogits?: (logits: Float32Array) => void,
): Promise<{ readonly seen: Seen; readonly spec: ModelSpec }> {
  const local = await startLocalEngine(tinyModel(name), options);
  const seen = new Seen();
  try {
    await local.engine.score({
      tokenIds: goldenOf(name).prompt_token_ids,
      hooks: [seen.hook],
      ...(onLogits && { onLogits }),
    });
    return { seen, spec: local.engine.spec };
  } finally {
    await local.close();
  }
}

/** RMSNorm and the head in float64. */
async function slowLogits(name: string, states: Float32Array, { normEps }: ModelSpec): Promise<number[]> {
  const [norm, head] = [await storedFloats(name, 'model.norm.weight'), await storedFloats(name, 'lm_head.weight')];
  const scale = 1 / Math.sqrt(states.reduce((sum, x) => sum + x * x, 0) / states.length + normEps);
  const normed = Array.from(states, (x, i) => x * scale * norm[i]!);
  return productOf(head, normed);
}

/** A tensor of bfloat16. */
async function storedFloats(name: string, wanted: string): Promise<Float32Array> {
  const tensors = readSafetensors(await readFile(join(tinyModel(name), 'model.safetensors')));
  const { bytes } = tensors.find((tensor) => tensor.name === wanted)!;
  const words = new Uint16Array(Uint8Array.from(bytes).buffer);
  return new Float32Array(Uint32Array.from(words, (word) => word << 16).buffer);
}

/** A matrix times a vector in float64. */
const productOf = (matrix: Float32Array, x: ArrayLike<number>): number[] =>
  Array.from({ length: matrix.length / x.length }, (_, row) =>
    Array.from(x).reduce((sum, value, i) => sum + value * matrix[row * x.length + i]!, 0),
  );

async function logitsOf(name: string, options: LocalEngineOptions, hooks: readonly Seen['hook'][]): Promise<Buffer> {
  const local = await startLocalEngine(tinyModel(name), options);
  const chunks: Buffer[] = [];
  const onLogits = (logits: Float32Array): void => void chunks.push(Buffer.from(logits.slice().buffer));
  try {
    await local.engine.score({ tokenIds: goldenOf(name).prompt_token_ids, onLogits, hooks });
    return Buffer.concat(chunks);
  } finally {
    await local.close();
  }
}

function checkHidden(seen: Seen, golden: InsideGolden, { layers }: ModelSpec): void {
  golden.positions.forEach((position, i) => {
    for (const layer of layers.keys()) {
      const [before, after] = [golden.hidden[layer]![i]!, golden.hidden[layer + 1]![i]!];
      expectNear(seen.at('hiddenBefore', layer, position).values, before, `before layer ${layer}`);
      expectNear(seen.at('hiddenAfter', layer, position).values, after, `after layer ${layer}`);
    }
  });
}

function checkRouters(seen: Seen, golden: InsideGolden, { moe: { gate } }: ModelSpec): void {
  golden.moe_layers.forEach((layer, l) =>
    golden.positions.forEach((position, i) => {
      const logits = golden.router_logits[l]![i]!;
      expectNear(seen.at('routerLogits', layer, position).values, logits, `router of layer ${layer}`);
      expectNear(seen.at('routerScores', layer, position).values, scoresOf(logits, gate.scoring), 'scores');
      const { experts, weights } = seen.at('routing', layer, position);
      expect([...experts].sort(ascending)).to.deep.equal([...golden.experts[l]![i]!].sort(ascending));
      const own = [...seen.at('routerLogits', layer, position).values];
      if (gate.groups === null) expectNear(weights, weightsOf(own, experts, gate), 'weights');
    }),
  );
}

function checkOutputs(seen: Seen, golden: InsideGolden, { hiddenSize }: ModelSpec): void {
  golden.moe_layers.forEach((layer, l) =>
    golden.positions.forEach((position, i) => {
      const { experts, values } = seen.at('expertOutputs', layer, position);
      golden.experts[l]![i]!.forEach((expert, k) => {
        const at = experts.indexOf(expert) * hiddenSize;
        const expected = golden.expert_outputs[l]![i]!.slice(k * hiddenSize, (k + 1) * hiddenSize);
        expectNear(values.subarray(at, at + hiddenSize), expected, `expert ${expert} of layer ${layer}`);
      });
    }),
  );
}

/** Of these experts in their order, whatever bias chose them. */
function weightsOf(logits: readonly number[], experts: Int32Array, gate: ModelSpec['moe']['gate']): number[] {
  const bias = logits.map((_, e) => (experts.includes(e) ? 1e6 : 0));
  const { experts: found, weights } = routeRef(logits, gate, bias);
  return Array.from(experts, (expert) => weights[found.indexOf(expert)]!);
}

function expectNear(actual: Float32Array | Float64Array, expected: readonly number[], what: string): void {
  expect(actual.length, what).to.equal(expected.length);
  const worst = expected.reduce((error, value, i) => Math.max(error, Math.abs(value - actual[i]!)), 0);
  expect(worst, what).to.be.below(MAX_ERROR);
}

const ascending = (a: number, b: number): number => a - b;
