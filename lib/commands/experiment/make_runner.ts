/** From what a file or the command line says of a runner to the runner. What only one kind needs is loaded for it. */
import { hostname } from 'node:os';
import { parse } from 'yaml';
import { printable, withoutUsers } from '../../../base/foreign_text.js';
import type { ExperimentPlan } from '../../experiment/base/experiment.js';
import { CLUSTER_DEFAULTS } from '../../config/cluster_schema.js';
import type { Runner } from '../../experiment/base/run.js';
import type { NatsRunnerSettings } from '../../experiment/base/runner.js';
import type { RunnerText } from '../../experiment/file/runner_schema.js';
import { LocalRunner } from '../../experiment/runs/local_runner.js';
import { UsageError, type CommandContext } from '../base/context.js';

/** Where a plan's runs run. `folder`: of its results. */
export type MakeRunner = (plan: ExperimentPlan, context: RunnerContext, folder: string) => Runner | Promise<Runner>;

type RunnerContext = Pick<CommandContext, 'env' | 'stderr'>;

/** As the plan says. @throws JobError BUS_FAILED where a bus can't be reached */
export const runnerOf: MakeRunner = async (plan, context, folder) => {
  const { runner, experiment } = plan;
  const { env } = context;
  switch (runner.kind) {
    case 'local':
      return new LocalRunner({ width: experiment.parallel, env });
    case 'slurm': {
      const { SlurmRunner } = await import('../../experiment/runners/slurm/slurm_runner.js');
      return new SlurmRunner({ settings: runner, parallel: experiment.parallel, env, onNotice: noticesTo(context) });
    }
    case 'kubernetes': {
      const { KubernetesRunner } = await import('../../experiment/runners/kubernetes/kubernetes_runner.js');
      return new KubernetesRunner({
        settings: runner,
        parallel: experiment.parallel,
        env,
        onNotice: noticesTo(context),
      });
    }
    case 'nats':
      return queueRunner(runner, plan, context, folder);
  }
};

/** Runs were handed over: it says what became of them, and begins none. @throws UsageError */
export const collectorOf: MakeRunner = async ({ experiment: { parallel }, runner: settings }, context) => {
  if (settings.kind !== 'slurm') throw new UsageError('--collect is for runs of Slurm; leave it out');
  const { SlurmRunner } = await import('../../experiment/runners/slurm/slurm_runner.js');
  return new SlurmRunner({ settings, parallel, env: context.env, isCollecting: true, onNotice: noticesTo(context) });
};

async function queueRunner(
  { bus: servers, cluster: name, credentials, tls }: NatsRunnerSettings,
  { experiment }: ExperimentPlan,
  context: RunnerContext,
  folder: string,
): Promise<Runner> {
  const [{ openNatsJobBus }, { QueueRunner }, { sessionOf }] = await Promise.all([
    import('../../jobs/nats/nats_job_bus.js'),
    import('../../experiment/runners/queue/queue_runner.js'),
    import('../../experiment/runners/queue/run_tasks.js'),
  ]);
  const bus = await openNatsJobBus(
    { ...CLUSTER_DEFAULTS, bus: servers, name, nats: { credentials, tls } },
    context.env,
  );
  const session = sessionOf(experiment.name, `${hostname()}:${folder}`);
  return new QueueRunner({ bus, session, width: experiment.parallel, onNotice: noticesTo(context) });
}

const noticesTo =
  ({ stderr }: RunnerContext) =>
  (line: string): void =>
    void stderr.write(`${line}\n`);

/** What `--runner` says: a name, or a mapping as YAML has it. @throws UsageError */
export function givenRunner(text: string | undefined): RunnerText | undefined {
  if (text === undefined) return undefined;
  const value = parsed(text);
  if (typeof value === 'string' || (typeof value === 'object' && value !== null && !Array.isArray(value)))
    return value as RunnerText;
  throw new UsageError(`--runner ${toldText(text)} is neither a name nor a mapping; give such as '{kind: slurm}'`);
}

const toldText = (text: string): string => printable(withoutUsers(text));

function parsed(text: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw new UsageError(
      `--runner ${toldText(text)} is no YAML (${withoutUsers((cause as Error).message)}); give such as slurm`,
    );
  }
}
