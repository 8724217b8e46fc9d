/** Help on commands about model folders. */
import type { CommandHelp } from './command_help.js';

/** By their names. */
export const MODEL_HELP: Readonly<Record<string, CommandHelp>> = {
  pull: {
    when: "To have a model of Hugging Face's hub on this machine: files go into the cache that the hub's own tools use (HF_HOME), each byte checked, and what was fetched before a break is kept. A model behind a licence needs HF_TOKEN.",
    examples: [
      { says: 'What would be fetched', line: 'expertwire pull Qwen/Qwen3-30B-A3B --dry-run' },
      {
        says: 'A commit, so that it stays what it is',
        line: 'expertwire pull allenai/OLMoE-1B-7B-0924 --revision main',
      },
      { says: 'Its description alone', line: "expertwire pull Qwen/Qwen3-30B-A3B --include '*.json'" },
    ],
    see: ['docs/hub.md'],
  },
  inspect: {
    when: 'Before a checkpoint is run: whether its family and formats are known, what each rank would hold, and what would be refused, and why. config.json alone is enough for most of it.',
    examples: [
      { says: 'The small model of this package', line: 'expertwire inspect models/moe-7m' },
      { says: 'One that was pulled, on eight ranks', line: 'expertwire inspect Qwen/Qwen3-30B-A3B --ranks 8' },
      { says: 'For a program', line: 'expertwire inspect models/moe-7m --json' },
    ],
    see: ['docs/hub.md', 'docs/conformance.md'],
  },
  quantise: {
    when: 'To have a smaller checkpoint once and for all, which other readers of its format load too. What it loses, compare tells.',
    examples: [
      { says: 'Routed experts as int4', line: 'expertwire quantise models/moe-7m moe-7m-int4 --format int4' },
      {
        says: "All projections as int8, but those of the first layer's attention",
        line: "expertwire quantise models/moe-7m moe-7m-int8 --format int8 --only all --ignore 'model.layers.0.self_attn'",
      },
      {
        says: 'With channels scaled by what a text sends through them, the text read by two ranks',
        line: 'expertwire quantise models/moe-7m moe-7m-int4 --format int4 --calibration mine.txt --ranks 2',
      },
    ],
    see: ['docs/quantising.md'],
  },
  'make-checkpoint': {
    when: 'For experiments on shapes that nobody trained: random weights that give finite numbers, and a tokenizer of bytes. Speed, bytes and balance of a shape are those of a trained model of it; its texts are noise.',
    examples: [
      {
        says: "Qwen3's architecture with 64 experts",
        line: 'expertwire make-checkpoint big --family qwen3_moe --layers 8 --hidden 1024 --experts 64 --topk 8',
      },
      {
        says: "DeepSeek's, small, with experts stored as FP8",
        line: 'expertwire make-checkpoint small --family deepseek_v3 --layers 3 --dense-layers 1 --hidden 256 --codes FP8',
      },
    ],
    see: ['docs/conformance.md'],
  },
  prune: {
    when: 'To make a model smaller than its experts: those that a text of your own field needs least are taken out of each layer, with their rows of the router. The folder is a checkpoint like any other, in the formats of the old one. What it loses, score tells.',
    examples: [
      {
        says: 'The half of the experts that matters most for a text',
        line: 'expertwire prune models/moe-7m small --keep 0.5 --calibration mine.txt',
      },
      {
        says: 'Six of each layer, by how often they are chosen, the text read by two ranks',
        line: 'expertwire prune models/moe-7m small --criterion frequency --keep 6 --calibration mine.txt --ranks 2',
      },
      {
        says: 'The other half merged into the half that stays',
        line: 'expertwire prune models/moe-7m small --merge --calibration mine.txt',
      },
      { says: 'Any half, to compare with', line: 'expertwire prune models/moe-7m small --criterion random --seed 1' },
    ],
    see: ['docs/pruning.md'],
  },
};
