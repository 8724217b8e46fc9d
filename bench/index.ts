/** Benchmarks behind `expertwire bench NAME`, and measures behind `expertwire experiment`. */
import type { Bench, BenchName } from '../lib/commands/bench.js';
import { nearestName } from '../lib/commands/advice/near_names.js';
import { UsageError, type CommandContext } from '../lib/commands/base/context.js';
import { helpWidth } from '../lib/commands/help/layout.js';
import type { PlannedRun } from '../lib/experiment/base/run.js';
import { modelFolder } from '../lib/config/model_folder.js';
import { parseModelName } from '../lib/hub/cache/model_name.js';
import type { MeasureContext, MeasureResult } from './experiment/base/measure.js';

/** Each is loaded only when it runs: a benchmark of bytes needs no TensorFlow.js. */
const BENCHES: Readonly<Record<BenchName, () => Promise<Bench>>> = {
  balance: async () => (await import('./balance/bench_balance.js')).benchBalance,
  chaos: async () => (await import('./chaos/bench_chaos.js')).benchChaos,
  cluster: async () => (await import('./cluster/bench_cluster.js')).benchCluster,
  codec: async () => (await import('./codec.js')).benchCodec,
  compute: async () => (await import('./compute/bench_compute.js')).benchCompute,
  dispatch: async () => (await import('./dispatch/bench_dispatch.js')).benchDispatch,
  engine: async () => (await import('./engine/bench_engine.js')).benchEngine,
  eplb: async () => (await import('./eplb/bench_eplb.js')).benchEplb,
  experiment: async () => (await import('./runner/bench_experiment.js')).benchExperiment,
  formats: async () => (await import('./formats/bench_formats.js')).benchFormats,
  generate: async () => (await import('./generate.js')).benchGenerate,
  hooks: async () => (await import('./hooks.js')).benchHooks,
  jobs: async () => (await import('./jobs/bench_jobs.js')).benchJobs,
  kv: async () => (await import('./kv/bench_kv.js')).benchKv,
  launch: async () => (await import('./launch/bench_launch.js')).benchLaunch,
  peers: async () => (await import('./peers/bench_peers.js')).benchPeers,
  pull: async () => (await import('./pull/bench_pull.js')).benchPull,
  resume: async () => (await import('./resume/bench_resume.js')).benchResume,
  scale: async () => (await import('./scale/bench_scale.js')).benchScale,
  scenarios: async () => (await import('./scenarios/bench_scenarios.js')).benchScenarios,
  serve: async () => (await import('./serve/bench_serve.js')).benchServe,
  slow: async () => (await import('./slow/bench_slow.js')).benchSlow,
  tiers: async () => (await import('./tiers.js')).benchTiers,
  tokenizer: async () => (await import('./tokenizer/bench_tokenizer.js')).benchTokenizer,
};

/** @throws UsageError naming the benchmarks. */
export const runBench: Bench = async ([name = '', ...args], context) => {
  if (name === '--help' || name === '-h') return tellHelp(context);
  if (!isBench(name)) throw new UsageError(noBench(name, Object.keys(BENCHES)));
  const bench = await BENCHES[name]();
  await bench(name === SERVES ? args : withFolder(args, context.env), context);
};

async function tellHelp({ stdout }: CommandContext): Promise<void> {
  const { benchesHelp } = await import('./help/benches_help.js');
  stdout.write(benchesHelp(Object.keys(BENCHES), helpWidth(stdout)));
}

/** Measures a run of an experiment, of which it is the only one in its process. Errors as those of its measure. */
export async function runMeasure(run: PlannedRun, context: MeasureContext): Promise<MeasureResult> {
  if (run.measure.kind === 'bench') return (await import('./experiment/bench.js')).measureBench(run, context, runBench);
  return (await import('./experiment/run_measure.js')).runMeasure(run, context);
}

/** What only benchmarks know of a run, before any runs: options of theirs, and of loads. @throws UsageError, what reading a load throws */
export async function checkMeasure(run: PlannedRun): Promise<void> {
  const { kind } = run.measure;
  if (kind === 'bench') await (await import('./experiment/bench.js')).lookAtBench(run, runBench);
  if (kind === 'serve' || kind === 'scorecard') {
    await (await import('./experiment/serving/run_server.js')).checkServeLoad(run);
  }
}

const isBench = (name: string): name is BenchName => Object.hasOwn(BENCHES, name);

/** Its `--model` is what a server calls it. */
const SERVES = 'serve';

/** The name of a model that was pulled stands for its folder. @throws ConfigError NOT_FOUND */
const withFolder = (args: readonly string[], env: CommandContext['env']): readonly string[] =>
  args.map((arg, i) => {
    const option = arg.startsWith('--model=') ? '--model=' : '';
    const isModel = option !== '' || args[i - 1] === '--model';
    const model = arg.slice(option.length);
    return isModel && parseModelName(model) !== null ? `${option}${modelFolder(model, { env })}` : arg;
  });

function noBench(name: string, names: readonly string[]): string {
  const nearest = nearestName(name, names);
  const meant = nearest === undefined ? '' : ` did you mean ${nearest}?`;
  return `${name === '' ? 'which benchmark?' : `no benchmark '${name}';${meant}`} there are: ${names.join(', ')}`;
}
