/** Help on commands that measure, compare and plan. */
import type { CommandHelp } from './command_help.js';

/** By their names. */
export const MEASURE_HELP: Readonly<Record<string, CommandHelp>> = {
  compare: {
    when: 'To see what a change costs in quality: quantised, pruned or merged weights, other types in memory or on the wire, fewer experts per token. A reads the text first, then B: how far the distributions of the next token are apart (KL divergence, the same best token), perplexities, and layer by layer how far hidden states, what the head would make of them, and the choice of experts are. A and B are model folders, names of pulled models, or YAML configurations.',
    examples: [
      {
        says: 'What int8 in memory costs',
        line: 'expertwire compare models/moe-7m models/moe-7m --text README.md --set-b experts.resident=int8',
      },
      {
        says: 'A pruned checkpoint, drawn',
        line: 'expertwire compare models/moe-7m moe-7m-half --text book.txt --output compare.html',
      },
      {
        says: 'Two configurations, as numbers',
        line: 'expertwire compare exact.yaml tiers.yaml --text book.txt --max-tokens 4096 --json',
      },
    ],
    see: ['docs/compare.md'],
  },
  experiment: {
    when: 'To compare configurations: one YAML file says what is varied and what is measured. The whole file is checked before the first run; runs come in turns, so that drift of the machine cancels; a folder keeps every run, and the same command goes on where it was ended.',
    examples: [
      {
        says: 'What would be run, and how long it takes',
        line: 'expertwire experiment configs/experiments/balance.yaml --dry-run',
      },
      {
        says: 'Run it, or go on with it',
        line: 'expertwire experiment configs/experiments/balance.yaml --output results/balance',
      },
      {
        says: 'Some of its runs alone',
        line: 'expertwire experiment configs/experiments/balance.yaml --only load_balance.planner=eplb',
      },
      {
        says: 'Runs that failed once more',
        line: 'expertwire experiment configs/experiments/balance.yaml --output results/balance --retry-failed',
      },
      {
        says: 'In Slurm, without waiting: the report is made behind the last run',
        line: 'expertwire experiment configs/experiments/balance.yaml --runner slurm --detach',
      },
      {
        says: 'By workers of any machines, over NATS',
        line: "expertwire experiment configs/experiments/balance.yaml --runner '{kind: nats, bus: nats://10.0.0.1:4222}'",
      },
    ],
    see: ['docs/experiments.md'],
  },
  report: {
    when: 'To make tables and pictures of the results of an experiment anew: after more runs, or in other formats. Nothing is measured.',
    examples: [
      { says: 'Write report.html, report.md, tables as CSV and the plots', line: 'expertwire report results/balance' },
      { says: 'Plots for a paper and for slides', line: 'expertwire report results/balance --formats svg,png' },
    ],
    see: ['docs/experiments.md'],
  },
  measure: {
    when: 'To do one run of an experiment again by hand: the folder of a run has all that decides what is computed (run.json). The command experiment starts one such process per run.',
    examples: [{ says: 'One run again', line: 'expertwire measure experiments/balance/runs/0123456789abcdef' }],
    see: ['docs/experiments.md'],
  },
  plan: {
    when: 'To place experts by a load that was recorded, without running anything: which rank holds which replicas, and how balanced the load would have been before and after. The file that --output writes is a value of experts.placement. Live rebalancing (load_balance) plans by itself.',
    examples: [
      {
        says: 'Record a load',
        line: 'expertwire generate --config configs/demo.yaml --record load.jsonl.gz --record-mode per_pass',
      },
      {
        says: 'Forty slots on four ranks for it, drawn',
        line: 'expertwire plan --load load.jsonl.gz --ranks 4 --slots 40 --plot plan.html --chart',
      },
      {
        says: 'A plan that moves little, and a run with it',
        line: 'expertwire plan --load load.jsonl.gz --ranks 4 --slots 40 --planner eplb_stable --output placement.json',
      },
      {
        says: 'That run',
        line: 'expertwire generate --config configs/demo.yaml --ranks 4 --placement placement.json',
      },
      {
        says: 'For a job whose experts are divided (experts.slices=2)',
        line: 'expertwire plan --load load.jsonl.gz --ranks 6 --expert-slices 2 --output sliced.json',
      },
    ],
    see: ['docs/configuration.md', 'docs/benchmarks.md'],
  },
};
