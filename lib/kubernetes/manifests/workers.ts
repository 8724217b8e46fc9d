/** Workers of jobs: as many pods as are wanted, which take tasks of a bus. */
import type { KubernetesObject, Place } from './objects.js';
import { MODELS, podSpec, verbatim, type PodSettings, type Variable } from './pod.js';
import { deployment } from './server.js';

/** Workers, each in a pod of its own. */
export interface WorkersSettings extends Place, PodSettings {
  readonly replicas: number;
  /** URL of the bus: 'nats://nats:4222'. */
  readonly bus: string;
  /** Tasks that each has at a time. */
  readonly parallel: number;
  /** Further options of `worker`. */
  readonly args: readonly string[];
}

/** A worker that is asked to end finishes what it has in hand, or gives it back after so long. */
const GRACE_S = 120;
/** What it needs of that to give back what is left. */
const END_S = 10;
const POD_NAME: Variable = { name: 'POD_NAME', field: 'metadata.name' };

/** A Deployment of `worker`. Each is known by the name of its pod. */
export function workersManifest(settings: WorkersSettings): readonly KubernetesObject[] {
  const { bus, parallel, args, claim, replicas } = settings;
  const models = claim === undefined ? [] : ['--models', MODELS];
  const spec = podSpec(settings, {
    args: [
      'worker',
      '--bus',
      bus,
      '--name',
      '$(POD_NAME)',
      '--parallel',
      String(parallel),
      '--drain-timeout',
      String(GRACE_S - END_S),
      ...models,
      ...args.map(verbatim),
    ],
    env: [POD_NAME],
    graceS: GRACE_S,
  });
  return [deployment(settings, replicas, spec)];
}
