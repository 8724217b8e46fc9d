/** From what a file or the command line says of a runner to the runner. What only one kind needs is loaded for it. */
import { parse } from 'yaml';
import { printable } from '../../../base/foreign_text.js';
import type { ExperimentPlan } from '../../experiment/base/experiment.js';
import type { Runner } from '../../experiment/base/run.js';
import type { RunnerText } from '../../experiment/file/runner_schema.js';
import { LocalRunner } from '../../experiment/runs/local_runner.js';
import { UsageError, type CommandContext } from '../base/context.js';

/** Where a plan's runs run. */
export type MakeRunner = (
  plan: ExperimentPlan,
  context: Pick<CommandContext, 'env' | 'stderr' | 'signal'>,
) => Runner | Promise<Runner>;

/** As the plan says. @throws ExperimentError RUNNER_FAILED where it can't be reached */
export const runnerOf: MakeRunner = async ({ experiment: { parallel }, runner }, { env }) => {
  switch (runner.kind) {
    case 'local':
      return new LocalRunner({ width: parallel, env });
    case 'slurm': {
      const { SlurmRunner } = await import('../../experiment/runners/slurm/slurm_runner.js');
      return new SlurmRunner({ settings: runner, parallel, env });
    }
    case 'kubernetes': {
      const { KubernetesRunner } = await import('../../experiment/runners/kubernetes/kubernetes_runner.js');
      return new KubernetesRunner({ settings: runner, parallel, env });
    }
    case 'nats':
      throw new UsageError(`--runner: ${runner.kind} isn't there yet; give local`);
  }
};

/** What `--runner` says: a name, or a mapping as YAML has it. @throws UsageError */
export function givenRunner(text: string | undefined): RunnerText | undefined {
  if (text === undefined) return undefined;
  const value = parsed(text);
  if (typeof value === 'string' || (typeof value === 'object' && value !== null && !Array.isArray(value)))
    return value as RunnerText;
  throw new UsageError(`--runner ${printable(text)} is neither a name nor a mapping; give such as '{kind: slurm}'`);
}

function parsed(text: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw new UsageError(`--runner ${printable(text)} is no YAML (${(cause as Error).message}); give such as slurm`);
  }
}
