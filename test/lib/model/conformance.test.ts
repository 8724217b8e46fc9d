/** Every field of a configuration acts exactly where Hugging Face transformers lets it act, or is refused by name. */
import { expect } from 'chai';
import { ModelError } from '../../../lib/model/spec/errors.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { readConformance, writeConformanceModel, type ConformanceCase } from '../../kit/model/conformance.js';
import { promptPart, startLocalJob, startOf } from '../../kit/engine/local_job.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** What transformers computes and we don't: each is refused, by a message that names this. */
const REFUSED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  deepseek_v3: {
    'attention_bias: True': 'attention_bias',
    'hidden_act: gelu': 'hidden_act',
    'hidden_act: relu': 'hidden_act',
    // Without a MoE layer.
    'first_k_dense_replace: absent': 'MoE layer',
    // Ignored by transformers, and not by those who write such a configuration.
    'moe_layer_freq: 2': 'moe_layer_freq',
    'moe_layer_freq: [0, 1, 1]': 'moe_layer_freq',
    'topk_method: greedy': 'topk_method',
    'topk_method: group_limited_greedy': 'topk_method',
    'scoring_func: softmax': 'scoring_func',
  },
  qwen3_moe: {
    'hidden_act: gelu': 'hidden_act',
    // A shape that transformers fills in, and a published checkpoint says.
    'num_experts: absent': 'num_experts',
    'num_key_value_heads: absent': 'num_key_value_heads',
    'num_experts and num_local_experts differ': 'num_local_experts',
    // Without a MoE layer.
    'mlp_only_layers and decoder_sparse_step': 'MoE layer',
  },
};

const TOLERANCE = 1e-4;

for (const family of Object.keys(REFUSED)) {
  const { tokens, positions, cases } = readConformance(family);
  const refused = REFUSED[family]!;
  const known = new Map<string, Uint8Array>();

  /** Logits [positions][V] of a case. */
  const logitsOf = async (golden: ConformanceCase, compute: 'kernels' | 'tensors'): Promise<number[][]> =>
    withTempFolder(async (dir) => {
      await writeConformanceModel(dir, golden, known);
      const job = await startLocalJob(dir, { residence: { compute }, maxTokens: tokens.length });
      const [outputs] = await job.step([[promptPart(0, tokens)]], [[startOf(0)]]);
      await job.close();
      const logits = outputs![0]!.logits!;
      const width = logits.length / tokens.length;
      return positions.map((position) => [...logits.subarray(position * width, (position + 1) * width)]);
    });

  describe(`conformance of ${family} with transformers`, () => {
    for (const compute of ['kernels', 'tensors'] as const) {
      it(`${compute}: logits of every variation that runs agree within ${TOLERANCE}`, async () => {
        const wrong: string[] = [];
        for (const golden of cases) {
          if (golden.logits === null || Object.hasOwn(refused, golden.name)) continue;
          const actual = (await logitsOf(golden, compute)).flat();
          const error = largest(golden.logits.flat().map((value, i) => Math.abs(value - actual[i]!)));
          if (!(error < TOLERANCE)) wrong.push(`${golden.name}: ${error}`);
        }
        expect(wrong).to.deep.equal([]);
      }).timeout(60_000);
    }

    it('what it computes and we do not is refused by name', () => {
      for (const [name, field] of Object.entries(refused)) {
        const golden = cases.find((each) => each.name === name);
        if (golden === undefined) expect.fail(`no case is called ${name}`);
        expect(golden.logits, name).not.to.equal(null);
        expect(() => modelSpecOf(golden.config), name).to.throw(ModelError, field);
      }
    });

    it('what it refuses is refused too, or does no harm', () => {
      for (const { name, config, logits } of cases) {
        if (logits !== null) continue;
        try {
          modelSpecOf(config);
        } catch (error) {
          expect(error, name).to.be.instanceOf(ModelError);
        }
      }
    });
  });
}

const largest = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), 0);
