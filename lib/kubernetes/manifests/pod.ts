/** A pod that runs expertwire: its container, what it may do, and what it sees. */
import type { Value } from './objects.js';

/** What every pod is made of. */
export interface PodSettings {
  /** With its registry and tag. */
  readonly image: string;
  /** Cores that it has for itself. Default: what is free on its machine. */
  readonly cpus?: number | undefined;
  /** As Kubernetes writes it: '8Gi'. Default: what is free on its machine. */
  readonly memory?: string | undefined;
  /** A PersistentVolumeClaim with models, seen under /models, read alone. */
  readonly claim?: string | undefined;
  /** Labels that its machine must have. */
  readonly nodeSelector?: Readonly<Record<string, string>> | undefined;
  /** A Secret that opens the image's registry. */
  readonly pullSecret?: string | undefined;
  /** Secrets of which every key is a variable of the environment. */
  readonly envSecrets?: readonly string[] | undefined;
  readonly serviceAccount?: string | undefined;
}

/** What one kind of pod has beside that. */
export interface PodParts {
  /** Of `expertwire`, which the image begins with, or of `program`; `$(NAME)` is what a variable has. */
  readonly args: readonly string[];
  /** Instead of the image's own. */
  readonly program?: readonly string[];
  readonly env?: readonly Variable[];
  readonly ports?: Readonly<Record<string, number>>;
  readonly probes?: Readonly<Record<string, Value>>;
  /** ConfigMaps and the folders under which their files are. */
  readonly configMaps?: Readonly<Record<string, string>>;
  /** From being asked to end to being ended. Default 30. */
  readonly graceS?: number;
  /** Default Always, which Deployments and sets ask for. */
  readonly restartPolicy?: 'Never' | 'Always';
}

/** A variable of the environment: its value, a key of a Secret, or a field of the pod. */
export type Variable =
  | { readonly name: string; readonly value: string }
  | { readonly name: string; readonly secret: string; readonly key: string }
  | { readonly name: string; readonly field: string };

/** The address of the pod, which a rank tells others before its name leads anywhere. */
export const POD_IP: Variable = { name: 'POD_IP', field: 'status.podIP' };

/** Where a claim with models is seen. */
export const MODELS = '/models';
/** Where the configuration of `--config` is seen. */
export const CONFIG_FOLDER = '/etc/expertwire';

/** The `spec` of a pod. It holds to the restricted standard of pod security: no root, no rights, and only /tmp is written to. */
export function podSpec(settings: PodSettings, parts: PodParts): Value {
  const { restartPolicy = 'Always', graceS = 30 } = parts;
  const { nodeSelector, pullSecret, serviceAccount } = settings;
  return {
    restartPolicy,
    terminationGracePeriodSeconds: graceS,
    ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
    automountServiceAccountToken: false, // nothing in it asks the API server
    enableServiceLinks: false, // names of Services would be variables like ours
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
    ...(pullSecret === undefined ? {} : { imagePullSecrets: [{ name: pullSecret }] }),
    containers: [container(settings, parts)],
    volumes: volumes(settings, parts),
  };
}

/** A word that Kubernetes leaves as it is: `$(NAME)` would be what a variable has. */
export const verbatim = (word: string): string => word.replaceAll('$(', () => '$$(');

/** `node` of Node's own images. */
const USER = 1000;

function container(
  settings: PodSettings,
  { args, program, env = [], ports = {}, probes = {}, ...parts }: PodParts,
): Value {
  const { image, cpus, memory, claim, envSecrets = [] } = settings;
  const amounts = { ...(cpus !== undefined && { cpu: String(cpus) }), ...(memory !== undefined && { memory }) };
  return {
    name: 'expertwire',
    image,
    ...(program === undefined ? {} : { command: program }),
    args,
    env: [{ name: 'HOME', value: '/tmp' }, ...env.map(variable)],
    ...(envSecrets.length === 0 ? {} : { envFrom: envSecrets.map((name) => ({ secretRef: { name } })) }),
    ...(Object.keys(ports).length === 0 ? {} : { ports: containerPorts(ports) }),
    ...probes,
    // The same for what is asked and what is had: such a pod is ended last where memory is short.
    ...(Object.keys(amounts).length === 0 ? {} : { resources: { requests: amounts, limits: amounts } }),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: 'tmp', mountPath: '/tmp' },
      ...(claim === undefined ? [] : [{ name: 'models', mountPath: MODELS, readOnly: true }]),
      ...Object.values(parts.configMaps ?? {}).map((mountPath, i) => ({
        name: `files-${i}`,
        mountPath,
        readOnly: true,
      })),
    ],
  };
}

const volumes = ({ claim }: PodSettings, { configMaps = {} }: PodParts): Value => [
  { name: 'tmp', emptyDir: {} },
  ...(claim === undefined ? [] : [{ name: 'models', persistentVolumeClaim: { claimName: claim, readOnly: true } }]),
  ...Object.keys(configMaps).map((name, i) => ({ name: `files-${i}`, configMap: { name } })),
];

const containerPorts = (ports: Readonly<Record<string, number>>): Value =>
  Object.entries(ports).map(([name, containerPort]) => ({ name, containerPort }));

function variable(given: Variable): Value {
  const { name } = given;
  if ('value' in given) return { name, value: given.value };
  if ('field' in given) return { name, valueFrom: { fieldRef: { fieldPath: given.field } } };
  return { name, valueFrom: { secretKeyRef: { name: given.secret, key: given.key } } };
}
