import { expect } from 'chai';
import { asRank } from '../../../../base/ids.js';
import { createPlacement } from '../../../../experts/placement/placement.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { moeLayersOf } from '../../../../lib/model/spec/spec.js';
import { openWeights } from '../../../../lib/model/stored/model_weights.js';
import { footprintOf, type FootprintOptions } from '../../../../lib/model/weights/footprint.js';
import { footprintAs } from '../../../../lib/model/weights/footprint_changes.js';
import { checkMemory } from '../../../../lib/model/weights/memory_check.js';
import { residenceOf, type ResidenceChoice } from '../../../../lib/model/weights/residence.js';
import { overridesOf, type ResidentOverride } from '../../../../lib/model/weights/resident_overrides.js';
import { typeBytes } from '../../../../lib/model/weights/type_bytes.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { moe7m } from '../../../kit/paths.js';

const sum = (values: Readonly<Partial<Record<string, number>>>): number =>
  Object.values(values).reduce<number>((a, b = 0) => a + b, 0);

describe('a rank whose tensors are kept as several types', () => {
  /** moe-7m, all of it on one rank. */
  async function withRank(
    overrides: readonly ResidentOverride[],
    use: (options: FootprintOptions, choice: ResidenceChoice) => void,
  ): Promise<void> {
    const spec = modelSpecOf((await readModelFiles(moe7m())).config);
    const weights = await openWeights(moe7m(), spec);
    const choice: ResidenceChoice = { compute: 'kernels', experts: 'auto', dense: 'auto', overrides };
    const shape = { numLayers: moeLayersOf(spec).length, numExperts: spec.moe.gate.numExperts, numRanks: 1 };
    const limits = { blockSize: 16, numKvBlocks: 10, maxNumBatchedTokens: 8, numThreads: 1, numMovingLayers: 0 };
    const residence = residenceOf(choice, 'wasm', weights);
    const placement = createPlacement('linear', shape);
    use({ spec, weights, placement, rank: asRank(0), residence, ...limits }, choice);
    await weights.close();
  }

  /** What is advised where the machine lacks so many bytes of what the rank would hold. */
  async function adviceOf(overrides: readonly ResidentOverride[], missing: number): Promise<string> {
    let message = '';
    await withRank(overrides, (options, choice) => {
      const footprint = footprintOf(options);
      const { dense, experts, cache, activations, received } = footprint;
      const availableBytes = dense + experts + cache + activations + received - missing;
      const machine = { availableBytes, totalBytes: availableBytes, memoryBytes: 2 ** 32, gpu: null };
      const limits = { backend: 'wasm', rank: 0, numRanks: 1, ranksHere: 1, ...machine } as const;
      const others = { at: () => null, as: footprintAs(options, choice, 'wasm') };
      try {
        checkMemory(footprint, options.residence, limits, others);
      } catch (error) {
        message = (error as Error).message;
      }
    });
    return message.slice(message.indexOf('; ') + 2);
  }

  it('is advised what makes it fit: a type of those that no override names, or none of the overrides', async () => {
    const layers = overridesOf({ 'layers.*.experts.*': 'f32' });
    const MIB = 2 ** 20;
    expect(await adviceOf([], MIB)).to.match(
      /^set experts.resident to int8, which fits, or set dense.resident to int8, /,
    );
    expect(await adviceOf(layers, MIB)).to.match(
      /^set dense.resident to int8, which fits, or remove resident_overrides, /,
    );
    expect(await adviceOf(layers, 9 * MIB)).to.match(/^remove resident_overrides, without which it fits, or keep some/);
    expect(await adviceOf(overridesOf({ 'layers.1.*': 'f32' }), 4 * MIB)).to.match(/^set experts.resident to int\d, /);
    expect(await adviceOf(overridesOf({ '*': 'int4' }), 4096)).to.match(/keep some experts on disk [^,]*$/);
    expect(await adviceOf(overridesOf({ '*': 'int4' }), 4096)).not.to.contain('resident to');
  });

  it('keeps as many bytes of each type as overrides say, and all of them together are those that are planned', async () => {
    await withRank([], (options) => {
      const { experts, dense } = typeBytes(options);
      const planned = footprintOf(options);
      expect(Object.keys(experts)).to.deep.equal(['bf16']);
      expect(dense).to.have.all.keys('bf16', 'f32');
      expect([sum(experts), sum(dense)]).to.deep.equal([planned.experts, planned.dense]);
    });
    const globs = { 'layers.*.experts.*': 'int8', 'layers.1.mlp.experts.3.*': 'f32', 'lm_head.*': 'int4' } as const;
    await withRank(overridesOf(globs), (options) => {
      const { experts, dense } = typeBytes(options);
      const planned = footprintOf(options);
      expect(experts).to.have.all.keys('int8', 'f32');
      expect(experts.f32! / experts.int8!).to.be.closeTo(4 / 1.125 / (3 * 32 - 1), 1e-9);
      expect([sum(experts), sum(dense)]).to.deep.equal([planned.experts, planned.dense]);
    });
    await withRank([], (options) => {
      const tensors = { ...options, residence: { ...options.residence, compute: 'tensors' } } as const;
      expect(typeBytes(tensors).experts).to.deep.equal({ f32: footprintOf(tensors).experts });
    });
  });
});
