import { expect } from 'chai';
import { coresOf } from '../../../bench/peers/engines/cores.js';
import { msOfBatched, msOfBench } from '../../../bench/peers/engines/llama_tools.js';
import { stepTimes } from '../../../bench/peers/engines/step_times.js';
import { bestOf, numAlike, pairedRatio, relativeError, spreadOf } from '../../../bench/peers/ratios.js';
import { touchedBytes } from '../../../bench/peers/touched_bytes.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { openWeights } from '../../../lib/model/stored/model_weights.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { tinyModel } from '../../kit/paths.js';

describe('figures of bench peers', () => {
  it('a ratio is that of times of one round: what slows both slows neither', () => {
    const ratio = pairedRatio([2, 20, 3], [1, 10, 2]);
    expect(ratio).to.deep.equal({ median: 2, min: 1.5, max: 2, best: 2 });
    expect(spreadOf([3, 1, 2])).to.deep.equal({ median: 2, min: 1, max: 3 });
  });

  it('logits differ relative to those of the peer, and tokens up to the first that is another', () => {
    expect(relativeError([3, 4], [3, 4])).to.equal(0);
    expect(relativeError([3, 5], [3, 4])).to.be.closeTo(0.2, 1e-12);
    expect(bestOf([1, 7, 3])).to.equal(1);
    expect([numAlike([1, 2, 3], [1, 2, 3]), numAlike([1, 2, 3], [1, 9, 3]), numAlike([1, 2], [])]).to.deep.equal([
      3, 1, 0,
    ]);
  });

  it('a step of many sequences is timed while all of them decode', () => {
    // The second one's first token comes at 30; both make two more after that, and the first one a third.
    const sequences = [
      [10, 20, 30, 40, 50, 60],
      [30, 41, 52],
    ];
    expect(stepTimes(sequences)).to.equal((52 - 30) / 2);
    expect(stepTimes([[5, 7, 9]])).to.equal(2);
  });

  it('cores are read as Linux lists them', () => {
    expect(coresOf('0')).to.deep.equal([0]);
    expect(coresOf('0,2-4,7')).to.deep.equal([0, 2, 3, 4, 7]);
  });

  it('times are read from what llama-bench and llama-batched-bench print', () => {
    expect(msOfBench('[{"build_commit":"x","n_prompt":128,"avg_ns":250000000,"avg_ts":512.0}]').ms).to.equal(250);
    const text = 'main: n_kv_max = 4096\n{"n_kv_max": 4096, "pp": 64, "tg": 4, "pl": 32, "t_pp": 7.5, "t_tg": 1.25}\n';
    expect(msOfBatched(text).ms).to.equal(1250);
  });

  it('a token needs all dense matrices, its part of the experts, and no embedding', async () => {
    const { spec, weights } = await opened('tiny-qwen3-moe');
    try {
      const { hiddenSize, vocabSize, layers, moe } = spec;
      const { numTopk, numExperts } = moe.gate;
      let expected = vocabSize * hiddenSize;
      for (const name of weights.names()) {
        const { shape } = weights.info(name);
        if (/self_attn\..*_proj|mlp\.gate\./.test(name)) expected += shape[0] * shape[1]!;
      }
      const numMoe = layers.filter(({ kind }) => kind === 'moe').length;
      expect(numMoe).to.equal(layers.length);
      expected += numMoe * numTopk * 3 * hiddenSize * moe.intermediateSize;
      expect(numTopk).to.be.below(numExperts);
      expect(touchedBytes(spec, weights, 'bf16')).to.be.closeTo(2 * expected, 1e-6 * expected);
      expect(touchedBytes(spec, weights, 'int8')).to.be.closeTo(expected, 1e-6 * expected);
    } finally {
      await weights.close();
    }
  });
});

async function opened(name: string) {
  const { config } = await readModelFiles(tinyModel(name));
  return { spec: modelSpecOf(config), weights: await openWeights(tinyModel(name), modelSpecOf(config)) };
}
