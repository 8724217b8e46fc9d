/** What `expertwire manifest` is asked for: checked, and as the functions that make objects take it. Pure. */
import type { Argv } from 'yargs';
import { shown } from '../../../base/foreign_text.js';
import { NATS_SERVERS } from '../../config/cluster_schema.js';
import { VERSION } from '../../config/package_files.js';
import { MAX_RANKS } from '../../../base/ids.js';
import { isObjectName, MEMORY } from '../../kubernetes/manifests/objects.js';
import type { PodSettings } from '../../kubernetes/manifests/pod.js';
import { UsageError } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';

/** What there are manifests of. */
export const MANIFEST_KINDS = ['job', 'leader-worker-set', 'serve', 'workers'] as const;
/** One of them. */
export type ManifestKind = (typeof MANIFEST_KINDS)[number];

/** The options of `manifest` as yargs parses them. */
export interface ManifestArgs {
  readonly kind: ManifestKind;
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  readonly image?: string | undefined;
  readonly ranks?: number | undefined;
  readonly replicas?: number | undefined;
  readonly cpus?: number | undefined;
  readonly memory?: string | undefined;
  readonly claim?: string | undefined;
  readonly secret?: string | undefined;
  readonly config?: string | undefined;
  readonly port?: number | undefined;
  readonly bus?: string | undefined;
  readonly parallel?: number | undefined;
  readonly envSecret?: readonly string[] | undefined;
  readonly nodeSelector?: readonly string[] | undefined;
  readonly pullSecret?: string | undefined;
  readonly serviceAccount?: string | undefined;
  readonly '--'?: readonly string[] | undefined;
}

/** Adds the kind and the options of `manifest` to a command line; what runs follows `--`. */
export function manifestOptions<T>(yargs: Argv<T>): Argv<T & ManifestArgs> {
  return yargs
    .positional('kind', { choices: MANIFEST_KINDS, demandOption: true, describe: 'of what' })
    .option('name', {
      type: 'string',
      describe: 'of all objects (expertwire-job, -groups, -servers, -workers: by the kind)',
    })
    .option('namespace', { type: 'string', describe: 'of all objects (that of whoever applies them)' })
    .option('image', { type: 'string', describe: `with registry and tag (expertwire:${VERSION})` })
    .option('ranks', { type: 'number', describe: 'job, leader-worker-set: pods of a job, with a rank each (2)' })
    .option('replicas', { type: 'number', describe: 'servers or workers (1)' })
    .option('cpus', { type: 'number', describe: 'cores of each pod (what is free)' })
    .option('memory', { type: 'string', describe: 'of each pod, such as 8Gi (what is free)' })
    .option('claim', { type: 'string', describe: 'PersistentVolumeClaim with models, seen under /models' })
    .option('secret', { type: 'string', describe: 'Secret whose key "secret" is the job secret (expertwire-job)' })
    .option('config', { type: 'string', describe: 'YAML configuration that goes along' })
    .option('port', { type: 'number', describe: 'serve, leader-worker-set: where the server listens (8000)' })
    .option('bus', { type: 'string', describe: 'workers: URL of the bus, nats://HOST:4222' })
    .option('parallel', { type: 'number', describe: 'workers: tasks of each at a time (1)' })
    .option('env-secret', listOf('Secret whose keys are variables: EXPERTWIRE_API_KEY, NATS_CREDS'))
    .option('node-selector', listOf('KEY=VALUE: a label that machines must have'))
    .option('pull-secret', { type: 'string', describe: "Secret that opens the image's registry" })
    .option('service-account', { type: 'string', describe: 'of the pods (default)' })
    .epilogue('What pods run follows --, as in: -- serve --model /models/moe. Apply with kubectl apply -f -');
}

const listOf = (describe: string) =>
  ({ type: 'string', array: true, nargs: 1, describe: `${describe}; repeatable` }) as const;

/** Options that only some kinds take. */
const ONLY: Readonly<Record<string, readonly ManifestKind[]>> = {
  ranks: ['job', 'leader-worker-set'],
  secret: ['job', 'leader-worker-set'],
  replicas: ['leader-worker-set', 'serve', 'workers'],
  port: ['leader-worker-set', 'serve'],
  config: ['job', 'leader-worker-set', 'serve'],
  bus: ['workers'],
  parallel: ['workers'],
};

/** The command that pods of a kind run. */
const COMMANDS: Readonly<Record<ManifestKind, string | null>> = {
  job: null,
  'leader-worker-set': 'serve',
  serve: 'serve',
  workers: 'worker',
};

/** A name of its own for each: objects of two kinds would else take each other's place, or each other's requests. */
const NAMES: Readonly<Record<ManifestKind, string>> = {
  job: 'expertwire-job',
  'leader-worker-set': 'expertwire-groups',
  serve: 'expertwire-servers',
  workers: 'expertwire-workers',
};

/** What every kind is made of. */
export interface CheckedManifest extends PodSettings {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly ranks: number;
  readonly replicas: number;
  readonly secret: string;
  readonly port: number;
  readonly parallel: number;
  readonly bus: string;
  /** What follows `--`; for all kinds but `job` without its first word. */
  readonly command: readonly string[];
}

/** @throws UsageError for whatever can't be */
export function checkedManifest(args: ManifestArgs): CheckedManifest {
  const { kind, cpus, memory } = args;
  const wrong = Object.entries(ONLY).find(
    ([option, kinds]) => args[option as keyof ManifestArgs] !== undefined && !kinds.includes(kind),
  );
  if (wrong !== undefined)
    throw new UsageError(`--${wrong[0]} is for ${wrong[1].join(', ')}; leave it out for ${kind}`);
  if (kind === 'workers' && args.bus === undefined)
    throw new UsageError('workers need --bus nats://HOST:4222, where their tasks come from');
  checkBus(args);
  if (cpus !== undefined && !(cpus > 0 && cpus <= MAX_CPUS))
    throw new UsageError(`--cpus is ${cpus}; give a number over 0 and up to ${MAX_CPUS}, such as 4 or 0.5`);
  if (memory !== undefined && !MEMORY.test(memory))
    throw new UsageError(`--memory is '${memory}'; give bytes as Kubernetes writes them, such as 8Gi`);
  return {
    ...{ name: objectName('--name', args.name ?? NAMES[kind]), namespace: args.namespace },
    ...{ image: args.image ?? `expertwire:${VERSION}`, cpus, memory, claim: args.claim },
    ...{ pullSecret: args.pullSecret, serviceAccount: args.serviceAccount, envSecrets: args.envSecret },
    ranks: wholeNumber('--ranks', args.ranks, 2, MAX_RANKS) ?? 2,
    replicas: wholeNumber('--replicas', args.replicas, 0, MAX_REPLICAS) ?? 1,
    port: wholeNumber('--port', args.port, 1024, 65535) ?? 8000, // who isn't root opens none below
    parallel: wholeNumber('--parallel', args.parallel, 1, 1024) ?? 1,
    secret: args.secret ?? 'expertwire-job',
    bus: args.bus ?? '',
    nodeSelector: labels(args.nodeSelector),
    command: commandOf(args),
  };
}

/** Everybody who may read the objects would read a password with them. */
function checkBus({ bus, '--': words = [] }: ManifestArgs): void {
  if (bus !== undefined && !NATS_SERVERS.test(bus))
    throw new UsageError(
      `--bus is ${shown(bus)}; give nats://HOST:PORT or tls://HOST:PORT, without a user or a password: those are keys of a Secret (--env-secret: NATS_USER, NATS_PASSWORD, NATS_CREDS)`,
    );
  const told = words.find((word) => /(nats|tls):\/\/\S*@/.test(word));
  if (told !== undefined)
    throw new UsageError(
      `${shown(told)} behind -- has a user or a password; leave it out, and give a Secret with NATS_USER and NATS_PASSWORD (--env-secret)`,
    );
}

const MAX_CPUS = 4096;
const MAX_REPLICAS = 10_000;

function objectName(option: string, name: string): string {
  if (isObjectName(name)) return name;
  throw new UsageError(
    `${option} is '${name}'; give at most 40 small letters, digits and dashes, a letter first, such as my-job`,
  );
}

function labels(given: readonly string[] | undefined): Readonly<Record<string, string>> | undefined {
  if (given === undefined) return undefined;
  const pairs = given.map((text) => /^([^=]+)=(.*)$/.exec(text)?.slice(1) ?? text);
  const wrong = pairs.find((pair) => typeof pair === 'string');
  if (wrong !== undefined) throw new UsageError(`--node-selector is '${wrong}'; give KEY=VALUE`);
  return Object.fromEntries(pairs as [string, string][]);
}

function commandOf({ kind, '--': words = [] }: ManifestArgs): readonly string[] {
  const wanted = COMMANDS[kind];
  if (wanted === null) return words;
  if (words.length === 0 || words[0] === wanted) return words.slice(1);
  throw new UsageError(`pods of ${kind} run ${wanted}, and -- ${words[0]} follows; give -- ${wanted} OPTIONS`);
}
