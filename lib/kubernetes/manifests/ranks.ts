/** Jobs of ranks, one in each pod: an indexed Job, and a LeaderWorkerSet. Every pod starts `expertwire launch`, which knows its place by the environment. */
import { configMap, labelsOf, metadataOf, type KubernetesObject, type Place, type Value } from './objects.js';
import { CONFIG_FOLDER, POD_IP, podSpec, verbatim, type PodParts, type PodSettings, type Variable } from './pod.js';
import { threadsOf } from './threads.js';
import { SERVER_GRACE_S, serverProbes, serverService } from './server.js';

/** A job of several pods. */
export interface RanksSettings extends Place, PodSettings {
  /** Pods, each with one rank; the first one has the head too. */
  readonly ranks: number;
  /** A Secret whose key `secret` is the job secret. */
  readonly secret: string;
  /** What the head runs: 'generate', '--prompt', … */
  readonly command: readonly string[];
  /** The text of a configuration, which all see. Default: that of the demo. */
  readonly config?: string | undefined;
}

/** An instance per group of pods. */
export interface ServedRanksSettings extends RanksSettings {
  /** Groups, each a server of its own. */
  readonly replicas: number;
  /** Of the server. */
  readonly port: number;
}

/** Pods of a group that are its first. */
const LEADERS = { 'leaderworkerset.sigs.k8s.io/worker-index': '0' };
/** Where ranks join: that of launch. */
const JOIN_PORT = 7077;
const CONFIG_FILE = 'config.yaml';

/** An indexed Job, which ends with the command, and the Service by which its pods find the first of them. */
export function jobManifest(settings: RanksSettings): readonly KubernetesObject[] {
  const { name, ranks } = settings;
  const own: readonly Variable[] = [
    { name: 'EXPERTWIRE_WORLD_SIZE', value: String(ranks) },
    { name: 'EXPERTWIRE_HEAD', value: `${name}-0.${name}` },
  ];
  const spec = podSpec(settings, { ...ranksParts(settings, own), restartPolicy: 'Never' });
  return [
    ...configObjects(settings),
    headlessService(settings),
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: metadataOf(settings),
      spec: {
        completionMode: 'Indexed',
        completions: ranks,
        parallelism: ranks,
        // A rank that is gone has taken its part of the model along: the others end, and who wants the job again applies it again.
        backoffLimit: 0,
        template: { metadata: { labels: labelsOf(settings) }, spec: { subdomain: name, ...(spec as object) } },
      },
    },
  ];
}

/** Groups of pods that serve, each group one engine, and the Service before them. */
export function leaderWorkerSetManifest(settings: ServedRanksSettings): readonly KubernetesObject[] {
  const { replicas, ranks, port } = settings;
  const parts = ranksParts({ ...settings, command: servedAnywhere(settings) }, []);
  const leader = { ...parts, graceS: SERVER_GRACE_S, ports: { ...parts.ports, http: port }, probes: serverProbes() };
  const template = (own: PodParts): Value => ({
    metadata: { labels: labelsOf(settings) },
    spec: podSpec(settings, own),
  });
  return [
    ...configObjects(settings),
    serverService(settings, { port, ending: '-http', more: LEADERS }),
    {
      apiVersion: 'leaderworkerset.x-k8s.io/v1',
      kind: 'LeaderWorkerSet',
      metadata: metadataOf(settings),
      spec: {
        replicas,
        startupPolicy: 'LeaderCreated',
        leaderWorkerTemplate: {
          size: ranks,
          restartPolicy: 'RecreateGroupOnPodRestart',
          leaderTemplate: template(leader),
          workerTemplate: template(parts),
        },
      },
    },
  ];
}

const servedAnywhere = ({ command, port }: ServedRanksSettings): readonly string[] => [
  ...command,
  ...['--host', '0.0.0.0', '--port', String(port)],
];

function ranksParts({ name, secret, command, config, cpus }: RanksSettings, own: readonly Variable[]): PodParts {
  const file = config === undefined ? [] : [`${CONFIG_FOLDER}/${CONFIG_FILE}`];
  return {
    args: ['launch', ...file, ...withThreads(command, cpus)],
    env: [...own, POD_IP, { name: 'EXPERTWIRE_JOB_SECRET', secret, key: 'secret' }],
    ports: { ranks: JOIN_PORT },
    ...(config !== undefined && { configMaps: { [`${name}-config`]: CONFIG_FOLDER } }),
  };
}

const withThreads = (command: readonly string[], cpus: number | undefined): readonly string[] =>
  command.length === 0 ? [] : ['--', ...command.map(verbatim), ...threadsOf(command, cpus)];

const configObjects = (settings: RanksSettings): readonly KubernetesObject[] =>
  settings.config === undefined ? [] : [configMap(settings, '-config', CONFIG_FILE, settings.config)];

/** Without an address of its own: it gives each pod a name, at once, before it is ready. */
const headlessService = (settings: RanksSettings): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: metadataOf(settings),
  spec: {
    clusterIP: 'None',
    publishNotReadyAddresses: true,
    selector: labelsOf(settings),
    ports: [{ name: 'ranks', port: JOIN_PORT }],
  },
});
