/** The commands: what help says of each, and what is loaded when it is called. Why: docs/decisions/start.md#what-a-process-doesnt-need-isnt-loaded */
import type { Argv } from 'yargs';
import type { ExpertwireConfig } from '../config/schema.js';
import type { Environment } from '../hub/cache/hub_cache.js';
import type { CommandContext } from './base/context.js';
import type { EngineStart } from './engine/engine_start.js';

/** Which options a command has, and what it does. */
export interface LoadedCommand {
  readonly options: (yargs: Argv) => Argv;
  readonly run: (args: object, context: CommandContext) => Promise<void>;
}

/** A command as help lists it. */
export interface Command {
  readonly name: string;
  readonly describe: string;
  readonly load: () => Promise<LoadedCommand>;
}

/** Options, and what takes what is parsed of them. */
export function loaded<T>(
  options: (yargs: Argv) => Argv<T>,
  run: (args: T, context: CommandContext) => Promise<void>,
): LoadedCommand {
  return { options: (yargs) => options(yargs), run: (args, context) => run(args as T, context) };
}

type RunEngine<T> = (args: T, start: EngineStart, context: CommandContext) => Promise<void>;

/** The ranks of a command with an engine start before the engine is loaded. */
async function withEngineOf<T>(
  options: (yargs: Argv) => Argv<T>,
  configOf: (args: T, env: Environment) => Promise<ExpertwireConfig>,
  load: () => Promise<RunEngine<T>>,
  isResumed: (args: T) => boolean = () => false,
): Promise<LoadedCommand> {
  const { withRanks } = await import('./engine/engine_start.js');
  return loaded(options, async (args, context) => {
    const work = async (start: EngineStart): Promise<void> => (await load())(args, start, context);
    await withRanks(await configOf(args, context.env), work, isResumed(args));
  });
}

/** All but those that stand on these: `bench`, `launch`. */
export const COMMANDS: readonly Command[] = [
  {
    name: 'generate',
    describe: 'Continue prompts, streamed, and show what the experts did.',
    load: async () => {
      const { generateConfig, generateOptions } = await import('./generate/generate_options.js');
      return withEngineOf(
        (yargs) => generateOptions(yargs),
        generateConfig,
        async () => (await import('./generate/generate.js')).generate,
      );
    },
  },
  {
    name: 'chat',
    describe: "Talk to a model in the terminal: an engine of your own, or a server of OpenAI's API.",
    load: async () => {
      const { chatConfig, chatOptions, checkChatOptions } = await import('./chat/chat_options.js');
      return loaded(
        (yargs) => chatOptions(yargs),
        async (args, context) => {
          checkChatOptions(args);
          if (args.url !== undefined) {
            return (await import('./chat/chat_with_server.js')).chatWithServer(args, args.url, context);
          }
          const { withRanks } = await import('./engine/engine_start.js');
          await withRanks(await chatConfig(args, context.env), async (start) =>
            (await import('./chat/chat.js')).chat(args, start, context),
          );
        },
      );
    },
  },
  {
    name: 'score',
    describe: 'Log-probabilities, perplexity and routed experts of a text.',
    load: async () => {
      const { scoreConfig, scoreOptions } = await import('./score/score_options.js');
      return withEngineOf(
        (yargs) => scoreOptions(yargs),
        scoreConfig,
        async () => (await import('./score/score.js')).score,
      );
    },
  },
  {
    name: 'compare <a> <b>',
    describe: 'How far two models or configurations are apart on a text: KL, perplexity, layers, routing.',
    load: async () => {
      const [{ compare }, { compareOptions }] = await Promise.all([
        import('./compare/compare.js'),
        import('./compare/compare_options.js'),
      ]);
      return loaded((yargs) => compareOptions(yargs), compare);
    },
  },
  {
    name: 'serve',
    describe: "Serve OpenAI's endpoints over HTTP.",
    load: async () => {
      const { serveConfig, serveOptions } = await import('./serve/serve_options.js');
      return withEngineOf(
        (yargs) => serveOptions(yargs),
        serveConfig,
        async () => (await import('./serve/serve.js')).serve,
        ({ resume = false }) => resume,
      );
    },
  },
  {
    name: 'cluster <file>',
    describe: 'Start the instances of a file, and a router before them.',
    load: async () => {
      const [{ cluster }, { clusterOptions }] = await Promise.all([
        import('./cluster/cluster.js'),
        import('./cluster/cluster_options.js'),
      ]);
      return loaded((yargs) => clusterOptions(yargs), cluster);
    },
  },
  {
    name: 'route',
    describe: "A router before servers of OpenAI's API that run already, or instances of a bus.",
    load: async () => {
      const [{ route }, { routeOptions }] = await Promise.all([
        import('./cluster/route.js'),
        import('./cluster/cluster_options.js'),
      ]);
      return loaded((yargs) => routeOptions(yargs), route);
    },
  },
  {
    name: 'scale <ranks>',
    describe: 'Give a job that serves more or fewer ranks: nothing that runs is lost.',
    load: async () => {
      const { scale, scaleOptions } = await import('./scale.js');
      return loaded((yargs) => scaleOptions(yargs), scale);
    },
  },
  {
    name: 'kv <action>',
    describe: 'Keys and values that are kept: what lies where, how often it was found; or have it forgotten.',
    load: async () => {
      const [{ kv }, { kvOptions }] = await Promise.all([import('./kv/kv.js'), import('./kv/kv_options.js')]);
      return loaded((yargs) => kvOptions(yargs), kv);
    },
  },
  {
    name: 'experiment <file>',
    describe: 'Sweep what a file says, measure each point in turns, and write a table and a report.',
    load: async () => {
      const [{ experiment }, { experimentOptions }] = await Promise.all([
        import('./experiment/experiment.js'),
        import('./experiment/experiment_options.js'),
      ]);
      return loaded(
        (yargs) => experimentOptions(yargs),
        (args, context) => experiment(args, context),
      );
    },
  },
  {
    name: 'measure <folder>',
    describe: 'Do one run of an experiment, in its folder.',
    load: async () => {
      const { measure, measureOptions } = await import('./experiment/measure.js');
      return loaded(
        (yargs) => measureOptions(yargs),
        (args, context) => measure(args, context),
      );
    },
  },
  {
    name: 'jobs <action> [names..]',
    describe: 'Work that is done by workers when it is due: apply files of jobs, list, run, stop, read logs, fetch.',
    load: async () => {
      const [{ jobs }, { jobsOptions }] = await Promise.all([
        import('./jobs/jobs.js'),
        import('./jobs/jobs_options.js'),
      ]);
      return loaded((yargs) => jobsOptions(yargs), jobs);
    },
  },
  {
    name: 'worker',
    describe: 'Do what jobs say, on this machine, until a signal comes.',
    load: async () => {
      const [{ worker }, { workerOptions }] = await Promise.all([
        import('./worker/worker.js'),
        import('./worker/worker_options.js'),
      ]);
      return loaded((yargs) => workerOptions(yargs), worker);
    },
  },
  {
    name: 'pull <name>',
    describe: "Fetch a model by name, ORG/NAME, into the cache of the hub's tools: --model ORG/NAME then finds it.",
    load: async () => {
      const { pull, pullOptions } = await import('./pull.js');
      return loaded((yargs) => pullOptions(yargs), pull);
    },
  },
  {
    name: 'report <folder>',
    describe: "The report of an experiment's results, made again: HTML, Markdown, CSV and pictures.",
    load: async () => {
      const { report, reportOptions } = await import('./experiment/report.js');
      return loaded((yargs) => reportOptions(yargs), report);
    },
  },
  {
    name: 'plan',
    describe: 'From the load of experts to a placement, with the balance before and after.',
    load: async () => {
      const { plan, planOptions } = await import('./plan/plan.js');
      return loaded((yargs) => planOptions(yargs), plan);
    },
  },
  {
    name: 'inspect [model]',
    describe:
      'What a checkpoint is: family, parameters, formats, tokenizer, bytes of each rank, and what does not run.',
    load: async () => {
      const [{ inspect }, { inspectOptions }] = await Promise.all([
        import('./inspect/inspect.js'),
        import('./inspect/inspect_options.js'),
      ]);
      return loaded((yargs) => inspectOptions(yargs), inspect);
    },
  },
  {
    name: 'make-checkpoint <dir>',
    describe: 'Write a random checkpoint of any family and shape, for experiments.',
    load: async () => {
      const { makeCheckpoint, makeCheckpointOptions } = await import('./make_checkpoint.js');
      return loaded((yargs) => makeCheckpointOptions(yargs), makeCheckpoint);
    },
  },
  {
    name: 'quantise <dir> <out>',
    describe: 'Write a checkpoint of int4, int8 or fp8 made of another one.',
    load: async () => {
      const [{ quantise }, { quantiseOptions }] = await Promise.all([
        import('./rewrite/quantise.js'),
        import('./rewrite/quantise_options.js'),
      ]);
      return loaded((yargs) => quantiseOptions(yargs), quantise);
    },
  },
  {
    name: 'prune <dir> <out>',
    describe: 'Write a checkpoint with fewer experts: those that a text needs least are taken out.',
    load: async () => {
      const [{ prune }, { pruneOptions }] = await Promise.all([
        import('./rewrite/prune.js'),
        import('./rewrite/prune_options.js'),
      ]);
      return loaded((yargs) => pruneOptions(yargs), prune);
    },
  },
  {
    name: 'rank',
    describe: 'Be one rank of a job whose head runs elsewhere.',
    load: async () => {
      const { rank, rankOptions } = await import('./rank/rank.js');
      return loaded((yargs) => rankOptions(yargs), rank);
    },
  },
  {
    name: 'manifest <kind>',
    describe: 'Print objects of Kubernetes as YAML: a job of ranks, servers, workers.',
    load: async () => {
      const [{ manifest }, { manifestOptions }] = await Promise.all([
        import('./manifest/manifest.js'),
        import('./manifest/manifest_options.js'),
      ]);
      return loaded((yargs) => manifestOptions(yargs), manifest);
    },
  },
  {
    name: 'doctor',
    describe: 'What this machine has: backends, cores, memory, versions.',
    load: async () => {
      const { doctor, doctorOptions } = await import('./doctor.js');
      return loaded((yargs) => doctorOptions(yargs), doctor);
    },
  },
  {
    name: 'native <action>',
    describe:
      'install: the native TensorFlow backend (linux x64, arm64; needs npm, pip and g++; 0.8 GB, --gpu 5.6 GB).',
    load: async () => {
      const { native, nativeOptions } = await import('./native.js');
      return loaded(
        (yargs) => nativeOptions(yargs),
        (args, context) => native(args, context),
      );
    },
  },
  {
    name: 'completion <shell>',
    describe: 'Print what bash, zsh or fish needs to complete commands, options, values and keys of --set.',
    load: async () => {
      const { completion, completionOptions } = await import('./completion/completion.js');
      return loaded((yargs) => completionOptions(yargs), completion);
    },
  },
];
