/** What an instance is started with. Pure. */
import { resolve } from 'node:path';
import type { InstanceKind } from '../../cluster/start/scaler.js';
import type { PlacedInstance } from '../../config/instances.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { ClusterArgs } from './cluster_options.js';

/** What all instances of this machine share. */
export interface Machine {
  readonly config: ExpertwireConfig;
  readonly placed: readonly PlacedInstance[];
  readonly numCores: number;
}

/** Arguments of `expertwire serve` for one instance of this machine: what the user gave comes last, and wins. */
export function instanceArgs(args: ClusterArgs, { name, index }: PlacedInstance, machine: Machine): readonly string[] {
  const { config } = machine;
  const sets = [
    ...(config.parallel.threads === 'auto' ? [`parallel.threads=${threadsOf(machine)}`] : []),
    // The router has a line for each request already.
    ...(config.server.log_level === 'info' && !saysLevel(config, index) ? ['server.log_level=warn'] : []),
    ...(args.set ?? []),
  ];
  return [
    ...['--config', resolve(args.file), '--instance', name],
    ...option('--model', args.model),
    ...option('--backend', args.backend),
    ...option('--api-key-file', args.apiKeyFile),
    ...(args.plugin ?? []).flatMap((path) => ['--plugin', path]),
    ...sets.flatMap((set) => ['--set', set]),
  ];
}

/** Of each rank, where all ranks of all instances here share the machine. */
export function threadsOf({ config, placed, numCores }: Machine): number {
  const here = placed.filter(({ host, url }) => host === null && url === null);
  const numRanks = here.reduce((sum, { index }) => sum + (config.instances[index]!.ranks ?? config.parallel.ranks), 0);
  return Math.max(1, Math.min(16, Math.floor(numCores / numRanks)));
}

/** Those of one entry are alike. `here`: of this machine. */
export function instanceKinds(
  { instances }: Pick<ExpertwireConfig, 'instances'>,
  here: readonly PlacedInstance[],
): readonly InstanceKind[] {
  return instances.flatMap(({ count, min_count: min }, index) => {
    const names = here.filter((each) => each.index === index).map(({ name }) => name);
    return names.length === 0 ? [] : [{ names, numAtStart: count, min: min ?? count }];
  });
}

/** What starts an instance of another machine, there. */
export const lineFor = (file: string, name: string): string =>
  `./launch.sh -- serve --config ${file} --instance ${name}`;

const saysLevel = ({ instances }: ExpertwireConfig, index: number): boolean => {
  const server = instances[index]!.set.server;
  return typeof server === 'object' && server !== null && 'log_level' in server;
};

const option = (name: string, value: string | undefined): readonly string[] =>
  value === undefined ? [] : [name, value];
