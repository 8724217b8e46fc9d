/** What a command was probably meant to be. Pure. */
import { nearestName } from './near_names.js';

/** What others call what these do. */
const CALLED: Readonly<Record<string, readonly string[]>> = {
  generate: ['run', 'complete', 'infer', 'inference', 'predict', 'prompt'],
  chat: ['talk', 'repl', 'cli', 'interactive', 'ask'],
  score: ['eval', 'evaluate', 'perplexity', 'ppl', 'logprobs'],
  serve: ['server', 'start', 'api', 'http', 'listen'],
  pull: ['download', 'fetch', 'get', 'clone', 'hub'],
  inspect: ['info', 'show', 'describe', 'ls', 'stat', 'summary'],
  plan: ['rebalance', 'place', 'placement', 'eplb', 'balance'],
  prune: ['shrink', 'drop', 'compress', 'merge'],
  quantise: ['quantize', 'quant', 'round', 'convert', 'awq', 'gptq'],
  'make-checkpoint': ['make', 'create', 'init', 'new', 'random', 'checkpoint'],
  rank: ['join', 'node'],
  doctor: ['check', 'status', 'diagnose', 'env', 'version'],
  native: ['install', 'tensorflow'],
  experiment: ['sweep', 'study', 'grid'],
  compare: ['diff', 'kl', 'divergence', 'versus', 'vs'],
  report: ['plot', 'picture', 'table', 'results'],
  completion: ['autocomplete', 'completions'],
  bench: ['benchmark', 'perf'],
};

/** @param name what was given; `commands`: their names */
export function adviceOnCommand(name: string, commands: readonly string[]): string {
  if (name.includes('/')) {
    return `'${name}' is no command; did you mean expertwire generate --model ${name}, inspect ${name} or pull ${name}?`;
  }
  const lower = name.toLowerCase();
  const called = commands.find((command) => CALLED[command]?.includes(lower));
  const meant = called ?? nearestName(lower, commands);
  const advice = meant === undefined ? `there are: ${commands.join(', ')}` : `did you mean ${meant}?`;
  return `there is no command '${name}'; ${advice}`;
}
