/** A server: a Deployment whose pods have an engine each, and the Service before them. */
import { configMap, labelsOf, metadataOf, type KubernetesObject, type Place, type Value } from './objects.js';
import { CONFIG_FOLDER, podSpec, verbatim, type PodSettings } from './pod.js';
import { threadsOf } from './threads.js';

/** Servers, each in a pod of its own. */
export interface ServerSettings extends Place, PodSettings {
  readonly replicas: number;
  readonly port: number;
  /** Options of `serve`. */
  readonly args: readonly string[];
  /** The text of a configuration. Default: none. */
  readonly config?: string | undefined;
}

/** What still runs has `server.drain_timeout_ms`, a minute by default, and a little to end in. */
export const SERVER_GRACE_S = 75;
/** Loading a large model from a slow disk may take so long. */
const START_S = 1800;
const START_PERIOD_S = 5;
const CONFIG_FILE = 'config.yaml';

/** By GET /health, which is open to all: it isn't there until the model is loaded, and is 503 while the server drains or its engine failed. */
export const serverProbes = (): Readonly<Record<string, Value>> => ({
  startupProbe: { httpGet: HEALTH, periodSeconds: START_PERIOD_S, failureThreshold: START_S / START_PERIOD_S },
  readinessProbe: { httpGet: HEALTH, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 2 },
  // Steps of a large batch on few cores may hold an answer up: who is started again loses all that runs.
  livenessProbe: { httpGet: HEALTH, periodSeconds: 10, timeoutSeconds: 10, failureThreshold: 6 },
});

const HEALTH = { path: '/health', port: 'http' };

/** Whoever asks it asks one of the pods that are ready. */
export const serverService = (place: Place, { port, ending = '', more = {} }: ServiceParts): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: metadataOf(place, ending),
  spec: { selector: { ...labelsOf(place), ...more }, ports: [{ name: 'http', port, targetPort: 'http' }] },
});

interface ServiceParts {
  readonly port: number;
  /** Of its name. Default: none. */
  readonly ending?: string;
  /** Labels that pods must have beside those of the place. */
  readonly more?: Readonly<Record<string, string>>;
}

/** A Deployment of `serve`, and its Service. */
export function serverManifest(settings: ServerSettings): readonly KubernetesObject[] {
  const { name, replicas, port, args, config, cpus } = settings;
  const given = config === undefined ? [] : ['--config', `${CONFIG_FOLDER}/${CONFIG_FILE}`];
  const spec = podSpec(settings, {
    args: [
      'serve',
      ...args.map(verbatim),
      ...threadsOf(args, cpus),
      ...given,
      '--host',
      '0.0.0.0',
      '--port',
      String(port),
    ],
    ports: { http: port },
    probes: serverProbes(),
    graceS: SERVER_GRACE_S,
    ...(config !== undefined && { configMaps: { [`${name}-config`]: CONFIG_FOLDER } }),
  });
  return [
    ...(config === undefined ? [] : [configMap(settings, '-config', CONFIG_FILE, config)]),
    serverService(settings, { port }),
    deployment(settings, replicas, spec),
  ];
}

/** Pods that are alike. */
export const deployment = (place: Place, replicas: number, spec: Value): KubernetesObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: metadataOf(place),
  spec: {
    replicas,
    selector: { matchLabels: labelsOf(place) },
    template: { metadata: { labels: labelsOf(place) }, spec },
  },
});
