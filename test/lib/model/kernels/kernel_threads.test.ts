/** What threads compute together is what one computes alone: everything is divided here, however small. */
import { expect } from 'chai';
import { SWIGLU, type ActivationSpec } from '../../../../compute/base/activation_spec.js';
import { KernelExpert, ffnScratchBytes } from '../../../../compute/wasm/experts/kernel_expert.js';
import { arrayReceived, groupsOf, valuesOf } from '../../../kit/kernels/expert_calls.js';
import { KernelExperts } from '../../../../compute/wasm/experts/kernel_experts.js';
import { Descriptor } from '../../../../compute/wasm/memory/descriptor.js';
import type { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { FFN_LAYER } from '../../../../compute/wasm/memory/layouts.js';
import { padded } from '../../../../compute/wasm/memory/resident_dtype.js';
import type { KvDtype } from '../../../../compute/base/kv_dtype.js';
import type { Crew } from '../../../../compute/wasm/threads/crew.js';
import { type MlaForm, windowOf } from '../../../../lib/model/spec/spec.js';
import { attentionBytes } from '../../../../lib/model/weights/step_sizes.js';
import {
  CASES,
  INDEXED_CASES,
  mixed,
  randomWeights,
  sequencesFrom,
  HIDDEN,
} from '../../../kit/kernels/attention_cases.js';
import { memoryOf, startCrew } from '../../../kit/kernels/crews.js';
import { KernelAttentionLayer } from '../../../kit/kernels/kernel_attention.js';
import { biasedMatrices, expertMatrices } from '../../../kit/kernels/kernel_rows.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

const CLAMPED: ActivationSpec = { kind: 'clamped_swiglu', limit: 0.4, alpha: 1.702 };

describe('kernels over threads', function () {
  this.timeout(120_000);
  const crews: Crew[] = [];

  before(async () => crews.push(...(await Promise.all([2, 3, 4].map((n) => startCrew(n))))));
  after(() => Promise.all(crews.map((crew) => crew.close())));

  for (const { name, spec, form } of [...CASES, ...INDEXED_CASES]) {
    it(`attention has the bits of one thread, in any mix of sequences: ${name}`, async () => {
      const weights = { ...randomWeights(spec), input_layernorm: randomValues(randomFrom(12), HIDDEN) };
      const layerOf = (crew: Crew | null) => new KernelAttentionLayer(spec, weights, form, 'bf16', undefined, crew);
      const layers = [null, ...crews].map(layerOf);
      for (const seed of [1, 2, 3]) {
        const sequences = sequencesFrom(seed, [1, 70, 19, 2, 41]);
        const [alone, ...shared] = await Promise.all(
          layers.map((layer) => layer.run(sequences, mixed(sequences, seed), 16)),
        );
        for (const outputs of shared)
          outputs.forEach((output, i) => expect(isSameBits(output, alone![i]!), `sequence ${i}`).to.equal(true));
      }
      for (const layer of layers) {
        layer.dispose();
        expect(layer.memory.usedBytes, 'bytes left behind').to.equal(0);
      }
    });
  }

  it('experts have the bits of one thread, from one row to several waves', async () => {
    const [hidden, numTopk] = [70, 2];
    const weights = [100, 33, 64].map((intermediate, i) =>
      (i === 1 ? expertMatrices : biasedMatrices)(hidden, intermediate, randomFrom(i)),
    );
    const activations = [CLAMPED, SWIGLU, SWIGLU];
    const outputOf = async (memory: KernelMemory, counts: readonly number[]): Promise<Float32Array> => {
      const experts = weights.map((matrices, i) => KernelExpert.from(memory, matrices, 'int8', activations[i]));
      const runner = new KernelExperts(hidden, numTopk);
      const numRows = Math.max(...counts);
      const slots = new Int32Array(numRows * numTopk).fill(-1);
      for (const [i, count] of counts.entries())
        for (let row = 0; row < count; row++) slots[row * numTopk + (i % numTopk)] = i;
      const x = randomValues(randomFrom(numRows), numRows * hidden);
      const recv = arrayReceived(x, hidden, slots, new Float32Array(0), 'source');
      const out = await valuesOf(runner.forward(groupsOf(Array.from(slots), experts), recv));
      runner.dispose();
      for (const expert of experts) expert.dispose();
      return out;
    };
    const memories = [null, ...crews].map(memoryOf);
    for (const counts of [
      [1, 0, 0],
      [3, 1, 0],
      [64, 65, 0],
      [700, 10, 0],
      [0, 130, 0],
    ]) {
      const alone = await outputOf(memories[0]!, counts);
      for (const memory of memories.slice(1))
        expect(isSameBits(await outputOf(memory, counts), alone), counts.join()).to.equal(true);
    }
    for (const memory of memories) expect(memory.usedBytes, 'bytes left behind').to.equal(0);
  });

  for (const { name, spec } of [...CASES, ...INDEXED_CASES].filter((each) => windowOf(each.spec.layers[0]!) === null)) {
    it(`attention takes for threads and keys what is planned: ${name}`, () => {
      const blockSize = 16;
      type Size = [crew: Crew | null, numTokens: number, numKeys: number, dtype?: KvDtype];
      const scratchOf = (form: MlaForm, ...[crew, numTokens, numKeys, dtype]: Size): number => {
        const weights = { ...randomWeights(spec), input_layernorm: new Float32Array(HIDDEN).fill(1) };
        const layer = new KernelAttentionLayer(spec, weights, form, 'f32', undefined, crew);
        const blocks = Array.from({ length: Math.ceil(numKeys / blockSize) }, (_, i) => i);
        const part = { rowStart: 0, numTokens, position: numKeys - numTokens, blocks, isPrompt: true };
        const cache = layer.createCache(blockSize, dtype);
        layer.step.prepare([part], numTokens, cache);
        const before = layer.memory.scratchBytes;
        layer.forward(new Float32Array(numTokens * HIDDEN), [part], cache);
        const taken = layer.memory.scratchBytes - before;
        cache.dispose();
        layer.dispose();
        return taken;
      };
      const most = (...size: Size): number => Math.max(scratchOf('naive', ...size), scratchOf('absorbed', ...size));
      for (const numTokens of [1, 20]) {
        const base = most(null, numTokens, 20);
        const planned = (numThreads: number, numKeys: number): number =>
          attentionBytes(spec.attention, { numTokens, numThreads, numKeys });
        for (const numKeys of [40, 250]) {
          for (const [crew, numThreads, dtype] of [
            [null, 1, 'f32'],
            [crews[1]!, 3, 'f32'],
            [crews[1]!, 3, 'int8'],
          ] as const) {
            const more = most(crew, numTokens, numKeys, dtype) - base;
            expect(more, `${numThreads} threads, ${numKeys} keys, ${dtype}`).to.be.closeTo(
              planned(numThreads, numKeys) - planned(1, 20),
              64,
            );
          }
        }
      }
    });
  }

  it('networks take for threads what is planned', () => {
    const [hidden, intermediate] = [70, 90];
    for (const [crew, numThreads] of [[null, 1] as const, [crews[2]!, 4] as const]) {
      const memory = memoryOf(crew);
      const weights = KernelExpert.from(memory, expertMatrices(hidden, intermediate, randomFrom(1)), 'f32');
      const { kernels } = memory;
      const names = { gate: weights.gate.address, up: weights.up.address, down: weights.down.address };
      const layer = new Descriptor(memory, FFN_LAYER, { norm: 0, residual: 1, ...names, hiddenSize: hidden });
      for (const numTokens of [1, 63, 64, 100, 1000]) {
        const needed = kernels.ffnLayer(layer.address, 0, numTokens, 0, 0);
        const scratch = ffnScratchBytes({ intermediate }, numTokens, numThreads);
        expect(needed, `${numTokens} tokens`).to.equal(2 * 4 * numTokens * padded(hidden) + scratch);
      }
    }
  });

  it('helpers did some of all that', () => {
    for (const crew of crews) expect(crew.stats().numChunks).to.be.above(0);
  });
});
