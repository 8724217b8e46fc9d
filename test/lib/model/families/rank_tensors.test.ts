import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asRank } from '../../../../base/ids.js';
import { createPlacement, placementFrom } from '../../../../experts/placement/placement.js';
import { isHeadTied, tensorsOfRank, unusedTensors } from '../../../../lib/model/weights/rank_tensors.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import { openWeights, type ModelWeights } from '../../../../lib/model/stored/model_weights.js';
import { tensorShapesOf } from '../../../../lib/model/spec/tensor_shapes.js';
import { writeSafetensors } from '../../../kit/model/safetensors_writer.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { V3 } from '../../../kit/model/published_configs.js';

describe('tensors of a rank', () => {
  const config = {
    ...V3,
    ...{ hidden_size: 2, vocab_size: 3, moe_intermediate_size: 2, num_hidden_layers: 2 },
    first_k_dense_replace: 1,
    n_routed_experts: 4,
    n_group: 1,
    topk_group: 1,
    num_experts_per_tok: 2,
  };
  const expert = (layer: number, e: number): string => `model.layers.${layer}.mlp.experts.${e}.up_proj.weight`;
  const withNames = <T>(names: readonly string[], use: (weights: ModelWeights) => T): Promise<T> =>
    withTempFolder(async (dir) => {
      const spec = modelSpecOf(config);
      const shapes = new Map(Array.from(tensorShapesOf(spec), ({ name, shape }) => [name, shape]));
      const tensors = names.map((name) => {
        const shape = shapes.get(name) ?? [1];
        return { name, dtype: 'F32', shape, bytes: new Uint8Array(4 * shape.reduce((a, b) => a * b)) };
      });
      await writeFile(join(dir, 'model.safetensors'), writeSafetensors(tensors));
      const weights = await openWeights(dir, spec);
      const result = use(weights);
      await weights.close();
      return result;
    });
  const DENSE = ['lm_head.weight', 'model.embed_tokens.weight', 'model.layers.1.mlp.gate.weight', 'model.norm.weight'];
  const MTP = ['model.layers.2.enorm.weight', 'model.layers.2.mlp.gate.weight', expert(2, 0)];

  /** Names that a rank of three reads. */
  async function namesOf(
    spec: ModelSpec,
    rank: number,
    placement = createPlacement('round_robin', { numLayers: 1, numExperts: 4, numRanks: 3 }),
  ): Promise<string[]> {
    const names = [...DENSE, ...MTP, ...[0, 1, 2, 3].map((e) => expert(1, e))];
    return withNames(names, (weights) => tensorsOfRank(spec, weights, placement, asRank(rank)));
  }

  it('are the dense ones and its own experts, without the layer for multi-token prediction', async () => {
    const spec = modelSpecOf(config);
    expect(await namesOf(spec, 0)).to.have.members([...DENSE, expert(1, 0), expert(1, 3)]);
    expect(await namesOf(spec, 1)).to.have.members([...DENSE, expert(1, 1)]);
    expect(await namesOf(spec, 2)).to.have.members([...DENSE, expert(1, 2)]);
  });

  it('include redundant experts, as often as the rank holds them', async () => {
    const placement = placementFrom(0, 3, 4, [Int32Array.of(0, 3, 1, 1, 2, 2, 2, 1, -1)]);
    expect(await namesOf(modelSpecOf(config), 1, placement)).to.have.members([
      ...[...DENSE, expert(1, 1)],
      ...[expert(1, 2), expert(1, 2)],
    ]);
  });

  it('the head is the embedding where it is tied, unless it is stored', async () => {
    const tied = modelSpecOf({ ...config, tie_word_embeddings: true });
    expect(await withNames(DENSE.slice(1), (weights) => isHeadTied(tied, weights))).to.equal(true);
    expect(await withNames(DENSE, (weights) => isHeadTied(tied, weights))).to.equal(false);
    expect(await withNames(DENSE, (weights) => isHeadTied(modelSpecOf(config), weights))).to.equal(false);
  });

  it('that the configuration gives no meaning to are known by name; stored frequencies are no surprise', async () => {
    const odd = ['model.layers.0.self_attn.q_proj.bias', 'model.layers.3.mlp.gate.weight', expert(1, 4)];
    const names = [...DENSE, 'model.layers.0.self_attn.rotary_emb.inv_freq', ...odd, expert(1, 0)];
    const unused = await withNames(names, (weights) => unusedTensors(modelSpecOf(config), weights));
    expect(unused.unknown).to.have.members(odd);
    expect(unused.skipped).to.deep.equal([]);
  });

  it('of layers for prediction, and of what sees pictures, are told as such', async () => {
    const skippedOf = (...names: readonly string[]) =>
      withNames([...DENSE, ...names], (weights) => unusedTensors(modelSpecOf(config), weights));
    const prediction = { unknown: [], skipped: ['layers for multi-token prediction'] };
    expect(await skippedOf(...MTP)).to.deep.equal(prediction);
    expect(await skippedOf('mtp.fc.weight')).to.deep.equal(prediction);
    const ernie = ['mtp_block.0.mlp.gate.weight', 'mtp_emb_norm.0.weight', 'mtp_linear_proj.0.weight'];
    expect(await skippedOf(...ernie.map((part) => `model.${part}`))).to.deep.equal(prediction);
    const nested = ['enorm.weight', 'mlp.gate.weight'].map((part) => `language_model.model.layers.3.${part}`);
    expect(await skippedOf(...nested, 'vision_tower.patch.weight')).to.deep.equal({
      unknown: [],
      skipped: ['layers for multi-token prediction', 'what sees pictures'],
    });
  });
});
