/**
 * The commands that a worker runs, and what each of their options may lead to. What isn't listed is refused: a new option is nobody's until somebody thought about it.
 * Why: docs/decisions/jobs.md#a-worker-does-what-expertwire-does-and-nothing-else
 */

/** What a value is. Paths begin in the shard's folder. */
export type ValueKind =
  /** None: the option stands alone. */
  | 'flag'
  /** Anything: it is no path, and nothing is run or loaded by it. */
  | 'text'
  /** A folder of a model among those of the worker, or ORG/NAME in the hub's cache. */
  | 'model'
  /** A file that is read: in the shard's folder, or among the worker's models. */
  | 'input'
  /** A file or folder that is written, in the shard's folder. */
  | 'output'
  /** A strategy's name, or a file that is read. */
  | 'placement'
  /** A synthetic load, or a file that is read. */
  | 'routing'
  /** KEY=VALUE of the configuration. */
  | 'setting'
  /** KEY=VALUE of a model's config.json: data. */
  | 'field'
  /** Loads code, or files that may name some: for workers with --allow-plugins alone. */
  | 'code';

/** A command that may be run. */
export interface CommandLine {
  /** One for each, in their order; none may be left out but the last `numOptional` ones. */
  readonly positionals: readonly ValueKind[];
  readonly numOptional: number;
  readonly options: Readonly<Record<string, ValueKind>>;
}

const texts = <const T extends readonly string[]>(...names: T): Record<T[number], 'text'> =>
  Object.fromEntries(names.map((name) => [name, 'text'])) as Record<T[number], 'text'>;

const flags = <const T extends readonly string[]>(...names: T): Record<T[number], 'flag'> =>
  Object.fromEntries(names.map((name) => [name, 'flag'])) as Record<T[number], 'flag'>;

/** Of whatever starts an engine; ranks of other machines are none of a job's. */
const ENGINE = {
  ...texts('ranks', 'backend', 'num-redundant-experts', 'replica-choice', 'reduce', 'join-timeout', 'record-mode'),
  ...({ config: 'code', plugin: 'code', set: 'setting', model: 'model' } as const),
  ...({ placement: 'placement', routing: 'routing', trace: 'output', record: 'output' } as const),
};

const SAMPLING = {
  ...texts('max-new-tokens', 'temperature', 'top-k', 'top-p', 'min-p', 'repetition-penalty', 'presence-penalty'),
  ...texts('frequency-penalty', 'min-tokens', 'seed', 'stop'),
  ...flags('ignore-eos'),
};

/** By name. */
export const COMMAND_LINES: Readonly<Record<string, CommandLine>> = {
  generate: {
    ...{ positionals: [], numOptional: 0 },
    options: {
      ...ENGINE,
      ...SAMPLING,
      ...texts('prompt', 'prompt-ids', 'system', 'return-router-logits', 'logprobs'),
      ...flags('chat', 'continue-final-message', 'return-routed-experts', 'json', 'summary'),
      ...{ prompts: 'input', messages: 'input', tools: 'input', documents: 'input', plot: 'output' },
    },
  },
  score: {
    ...{ positionals: [], numOptional: 0 },
    options: { ...ENGINE, ...texts('text', 'ids'), ...flags('json'), file: 'input', logits: 'output' },
  },
  plan: {
    ...{ positionals: [], numOptional: 0 },
    options: {
      ...texts('ranks', 'slots', 'nodes', 'groups', 'planner', 'move-cost'),
      ...flags('chart', 'json'),
      ...{ load: 'input', current: 'input', output: 'output', plot: 'output', plugin: 'code' },
    },
  },
  inspect: {
    ...{ positionals: ['model'], numOptional: 1 },
    options: { ...texts('ranks'), ...flags('json'), config: 'code', plugin: 'code', set: 'setting' },
  },
  'make-checkpoint': {
    ...{ positionals: ['output'], numOptional: 0 },
    options: {
      ...texts('family', 'layers', 'dense-layers', 'hidden', 'experts', 'topk', 'intermediate', 'heads', 'vocab'),
      ...texts('dtype', 'codes', 'seed', 'max-shard-mib'),
      ...flags('json'),
      set: 'field',
    },
  },
  prune: {
    ...{ positionals: ['model', 'output'], numOptional: 0 },
    options: {
      ...texts('criterion', 'keep', 'seed', 'max-shard-mib', 'ranks', 'calibration-tokens', 'calibration-piece'),
      ...flags('json', 'merge'),
      ...{ calibration: 'input', config: 'code', plugin: 'code', set: 'setting' },
    },
  },
  report: { positionals: ['output'], numOptional: 0, options: texts('formats') },
  pull: {
    ...{ positionals: ['text'], numOptional: 0 },
    options: { ...texts('revision', 'include'), ...flags('dry-run', 'json') },
  },
  doctor: { positionals: [], numOptional: 0, options: flags('json') },
};
