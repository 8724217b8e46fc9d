/** Help on benchmarks of an engine: its ranks are started for them. */
import type { BenchHelp } from './bench_help.js';

/** By name. */
export const ENGINE_BENCHES: Readonly<Record<string, BenchHelp>> = {
  balance: {
    title: 'The same prompts with balancing off, and with placements of each planner.',
    when: 'Run it to learn whether replicas of hot experts pay for your traffic: balancedness and tokens/s per placement and replica choice. Speed means something where each rank has a core.',
    examples: [
      { says: 'Prompts of code, the most skewed of the demo', line: 'expertwire bench balance --kind code' },
      {
        says: 'Fewer, and all ways to choose among replicas',
        line: 'expertwire bench balance --prompts 8 --rounds 3 --choices local_first,round_robin,balanced',
      },
    ],
  },
  engine: {
    title: 'Batching, long prompts, the prefix cache, the head and HTTP, each against leaving it out.',
    when: 'Run it after a change to scheduling or the head. Each measurement stands alone: --only picks some, --size makes them shorter for trials.',
    examples: [
      { says: 'What batching and the prefix cache bring', line: 'expertwire bench engine --only batching,prefix' },
      {
        says: 'A short trial of all, figures in a file',
        line: 'expertwire bench engine --size 0.2 --rounds 1 --json engine.json',
      },
    ],
  },
  formats: {
    title: 'Stored formats of weights: loading, bytes read, memory, tokens/s.',
    when: 'Run it before you choose a quantized checkpoint. It writes random models of 2 GB once, and keeps them in --dir.',
    examples: [
      {
        says: 'Two formats of a small model',
        line: 'expertwire bench formats --formats BF16,FP8 --layers 2 --ranks 1,2 --rounds 1',
      },
    ],
  },
  generate: {
    title: 'Prefill and decode tokens/s over ranks and batches, against one rank.',
    when: 'Run it first on a new machine, and before and after a change to anything that computes. With the share of each phase of a step.',
    examples: [
      {
        says: 'One and two ranks, one sequence and eight',
        line: 'expertwire bench generate --ranks 1,2 --batches 1,8',
      },
      {
        says: 'A model of yours with bf16 on the wire',
        line: 'expertwire bench generate --model DIR --set comm.wire.dispatch=bf16 --set comm.wire.combine=bf16',
      },
    ],
  },
  hooks: {
    title: 'What looking inside the model costs: time, calls, copies and bytes of a step.',
    when: 'Run it before a study that hooks many layers (docs/hooks.md), to know what the hooks add.',
    examples: [{ says: 'One rank, few repeats', line: 'expertwire bench hooks --ranks 1 --repeats 3' }],
  },
  kv: {
    title: 'Keys and values as a store: hits, transfers, disk and int8, each against none.',
    when: 'Run it to choose a size of the cache, tiers, or kv_dtype: how many prompt tokens are found, what a block costs to read, and what int8 keys change.',
    examples: [
      { says: 'What is found in caches of several sizes', line: 'expertwire bench kv --only hits --requests 48' },
      {
        says: "Mooncake's trace of conversations, played",
        line: 'expertwire bench kv --only hits --trace conversation.jsonl.gz',
      },
    ],
  },
  peers: {
    title: 'llama.cpp, transformers, torch, gloo and MPI on the same checkpoint and cores.',
    when: 'Run it to compare with other engines: in turns, with ratios and their spread. A peer that is missing is told, with what installs it (scripts/peers/README.md).',
    examples: [
      {
        says: 'Decoding beside llama.cpp on one core',
        line: 'expertwire bench peers --only generation --peers llama.cpp --cores 1',
      },
      {
        says: 'The all-to-all beside MPI',
        line: 'expertwire bench peers --only exchange --peers mpi,gloo --exchange-ranks 2',
      },
    ],
  },
  slow: {
    title: 'A job with one slow rank: the same work for all, what each can, and the best.',
    when: 'Run it to see what unequal machines cost in lockstep, and what parallel.on_slow gives back. Each rank needs a core.',
    examples: [
      { says: 'The last of two ranks takes twice as long', line: 'expertwire bench slow --factor 2 --rounds 5' },
    ],
  },
  tiers: {
    title: 'Decoding with some of the experts in memory against all, and how often what is wanted is there.',
    when: 'Run it before you set experts.max_resident_bytes: the speed at each limit, and hit rates beside what the frequencies of the experts allow. It measures with a warm page cache: the second run reads nothing from the disk.',
    examples: [
      { says: 'A quarter of the demo', line: 'expertwire bench tiers --caps 25 --repeats 3' },
      { says: 'Half of that for copies of four bits', line: 'expertwire bench tiers --caps 25 --warm int4' },
      { says: 'A model of your own', line: 'expertwire bench tiers --model big --caps 10,25,50 --policies frequency' },
    ],
  },
};
