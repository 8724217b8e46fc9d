/** Help on benchmarks of one part: kernels, bytes, planners, tokenizers. */
import type { BenchHelp } from './bench_help.js';

/** By name. */
export const PART_BENCHES: Readonly<Record<string, BenchHelp>> = {
  codec: {
    title: 'Rows to the bytes of each wire dtype and back, against a plain copy.',
    when: 'Run it with a codec of your own, or to see what fp8 or int8 on the wire cost a processor before they save any bytes. One thread, no sockets.',
    examples: [
      { says: 'All dtypes, for rows of DeepSeek-V3', line: 'expertwire bench codec --hidden 7168' },
      {
        says: 'A codec of a plug-in beside them',
        line: 'expertwire bench codec --plugins examples/plugins/int4.mjs --tokens 128',
      },
    ],
  },
  compute: {
    title: 'Experts and layers on one core, against memory bandwidth and a large product.',
    when: 'Decoding reads each expert once, so memory bandwidth bounds it; prefill is bound by products. This tells how near to either the kernels come on this machine, and what the tensors of another backend make of it.',
    examples: [
      { says: 'The kernels, with weights in each format', line: 'expertwire bench compute --dtypes f32,bf16,int8' },
      {
        says: 'Rows in whole numbers beside weights of whole numbers, one token and eight',
        line: 'expertwire bench compute --dtypes bf16,int8,int4 --activations f32,int16,int8 --fused --tokens 1,8',
      },
      {
        says: 'Experts alone, of a small model',
        line: 'expertwire bench compute --hidden 256 --intermediate 512 --experts 32 --topk 4 --decode-tokens 0',
      },
      { says: 'Native TensorFlow beside it', line: 'expertwire bench compute --backend tensorflow' },
    ],
  },
  dispatch: {
    title: 'The all-to-all between processes, against raw TCP with the same bytes.',
    when: 'Run it before you blame the network or the wire dtype: it moves tokens to experts and back without a model. Each figure stands beside sockets that move the same bytes and do nothing else.',
    examples: [
      {
        says: 'Two ranks, one token each as in decoding, and many as in prefill',
        line: 'expertwire bench dispatch --ranks 2 --tokens 1,128',
      },
      {
        says: 'A skewed choice of experts, fp8 on the wire, and what passed between each two ranks',
        line: 'expertwire bench dispatch --ranks 4 --dtype fp8 --skew zipf:1.2 --matrix',
      },
      {
        says: 'What two micro-batches hide of a slow link',
        line: 'expertwire bench dispatch --overlap --link-mbit 1000 --tokens 128',
      },
    ],
  },
  eplb: {
    title: 'Planners of placements, each plan judged on the next window of load.',
    when: 'Run it when you change a planner or choose one: how balanced the ranks of the next window are, how many replicas move for it, and how long planning takes. No model is run.',
    examples: [
      { says: 'EPLB beside plans that move less, for the shape of DeepSeek-V3', line: 'expertwire bench eplb' },
      {
        says: 'A small job',
        line: 'expertwire bench eplb --layers 3 --experts 32 --slots 40 --ranks 4 --planners eplb,eplb_stable',
      },
    ],
  },
  pull: {
    title: 'A model from a hub on this machine into an empty cache, against curl.',
    when: 'Run it when downloads are slow: what checking every byte costs beside the network. Nothing outside this machine is asked.',
    examples: [
      { says: 'A quarter of a gigabyte in two files', line: 'expertwire bench pull --mb 250 --files 2 --rounds 3' },
    ],
  },
  tokenizer: {
    title: 'MB/s of text to tokens and back, beside the Rust library where there is one.',
    when: 'Run it when prompts are long and many. The baseline needs a Python with the package tokenizers.',
    examples: [
      { says: "The demo model's tokenizer on this package's documents", line: 'expertwire bench tokenizer' },
      {
        says: 'A tokenizer and a text of yours, beside the Rust library',
        line: 'expertwire bench tokenizer --model Qwen/Qwen3-30B-A3B --file book.txt --python python3',
      },
    ],
  },
};
