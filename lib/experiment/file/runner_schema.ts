/** `runner:` of an experiment's file, and `--runner` of the command line, which says the same. */
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { CLUSTER_DEFAULTS, NAME, NATS_SERVERS } from '../../config/cluster_schema.js';
import { VERSION } from '../../config/package_files.js';
import { MEMORY } from '../../kubernetes/manifests/objects.js';
import { boolean, integer, key, pemFile } from '../../config/key_types.js';
import type { Json } from '../base/run.js';
import { RUNNER_KINDS, type RunnerKind, type RunnerSettings } from '../base/runner.js';
import { checkedPart, errorAt, nearestOf, type OriginOf } from './checked_part.js';

const textOrNull = key(z.string().min(1).nullable(), 'a text, or null', 'string', 'null').default(null);

/** What the runner says itself: an array of runs, and where its words go. */
const OWN_OPTIONS =
  'array output error wait wrap time parsable chdir requeue no-requeue job-name clusters nodes ntasks'.split(' ');
const OWN_LETTERS = /^-[aoeWtDJMnN]/;

/** sbatch takes long options by any beginning that is one's alone. */
function isOwnArgument(text: string): boolean {
  const name = /^--([^=]+)/.exec(text)?.[1];
  return name === undefined ? OWN_LETTERS.test(text) : OWN_OPTIONS.some((option) => option.startsWith(name));
}

const EXTRA =
  'a list of arguments of sbatch such as --reservation=mine; arrays, names, times, nodes and files of output are said by the runner itself, clusters by SLURM_CLUSTERS';
const argument = z
  .string()
  .regex(/^-/)
  .refine((text) => !isOwnArgument(text));
const extra = key(z.array(key(argument, EXTRA, 'string')), EXTRA, 'list').default([]);

const slurm = z.strictObject({
  partition: textOrNull,
  account: textOrNull,
  qos: textOrNull,
  time: key(
    z
      .string()
      .regex(/^(?:\d+-)?\d+(?::\d+){0,2}$/)
      .nullable(),
    'a text as sbatch --time takes it, such as "90", "1:30:00" or "2-00", or null',
    'string',
    'null',
  ).default(null),
  cpus: key(z.int().min(1).max(65_536).nullable(), 'an integer from 1 to 65536, or null', 'number', 'null').default(
    null,
  ),
  memory: key(
    z
      .string()
      .regex(/^\d+[KMGT]?$/i)
      .nullable(),
    'a text as sbatch --mem takes it, such as 8G, or null',
    'string',
    'null',
  ).default(null),
  gres: textOrNull,
  constraint: textOrNull,
  requeue: boolean.default(true),
  dependency: textOrNull,
  extra,
  max_array: integer(1, 100_000).default(1000),
  poll_s: key(z.number().min(0.05).max(3600), 'a number of seconds from 0.05 to 3600', 'number').default(2),
});

const LABELS = 'a mapping of labels to texts, such as {disk: ssd}';
const SECRETS = 'a list of names of Secrets';
const kubernetes = z.strictObject({
  image: key(z.string().min(1), 'the name of an image, with registry and tag', 'string').default(
    `expertwire:${VERSION}`,
  ),
  namespace: textOrNull,
  kubeconfig: textOrNull,
  context: textOrNull,
  cpus: key(
    z.number().min(0.001).max(4096).nullable(),
    'a number of cores up to 4096, or null',
    'number',
    'null',
  ).default(null),
  memory: key(
    z.string().regex(MEMORY).nullable(),
    'a text as Kubernetes writes bytes, such as 8Gi, or null',
    'string',
    'null',
  ).default(null),
  claim: textOrNull,
  node_selector: key(z.record(z.string().min(1), z.string()), LABELS, 'mapping').default({}),
  pull_secret: textOrNull,
  env_secrets: key(z.array(key(z.string().min(1), SECRETS, 'string')), SECRETS, 'list').default([]),
  service_account: textOrNull,
  pending_timeout_s: key(z.number().min(1).max(604_800), 'a number of seconds from 1 to 604800', 'number').default(
    3600,
  ),
});

const nats = z.strictObject({
  bus: key(
    z.string().regex(NATS_SERVERS),
    'nats://HOST:PORT (tls://HOST:PORT), several with commas between them; who one is is said by NATS_USER and NATS_PASSWORD, or credentials',
    'string',
  ),
  cluster: key(z.string().regex(NAME), 'up to 64 letters, digits, - or _', 'string').default(CLUSTER_DEFAULTS.name),
  credentials: key(z.string().min(1).nullable(), 'the path of a .creds file, or null', 'string', 'null').default(null),
  tls: z
    .strictObject({ cert: pemFile.default(null), key: pemFile.default(null), ca: pemFile.default(null) })
    .prefault({}),
});

/** Settings of each kind. */
export const RUNNER_SCHEMAS = { local: z.strictObject({}), slurm, kubernetes, nats } as const satisfies Record<
  RunnerKind,
  z.ZodType
>;

/** A kind, or a mapping with it and settings, as nobody has checked it. */
export type RunnerText = string | Readonly<Record<string, Json>>;

/** @throws ConfigError with the line of what is wrong, and what was probably meant */
export function runnerSettings(given: RunnerText, originOf: OriginOf): RunnerSettings {
  const { kind, ...settings } = typeof given === 'string' ? { kind: given } : given;
  const place = typeof given === 'string' ? ['runner'] : ['runner', 'kind'];
  if (kind === undefined) {
    const text = `"runner.kind" is missing; give one of ${RUNNER_KINDS.join(', ')}`;
    throw errorAt(originOf, place, 'MISSING_KEY', text);
  }
  if (!isRunnerKind(kind)) {
    const advice = nearestOf(typeof kind === 'string' ? kind : '', RUNNER_KINDS, 'give one of those that there are');
    const text = `"runner" is ${shown(kind)}; ${advice} (runners are ${RUNNER_KINDS.join(', ')})`;
    throw errorAt(originOf, place, 'INVALID_VALUE', text);
  }
  return { kind, ...checkedPart(RUNNER_SCHEMAS[kind], settings, { path: ['runner'], originOf }) } as RunnerSettings;
}

const isRunnerKind = (kind: unknown): kind is RunnerKind => (RUNNER_KINDS as readonly unknown[]).includes(kind);

/** The command line's goes before the file's; where it names the same kind and no settings, the file's settings hold. */
export function chosenRunner(file: RunnerText, line: RunnerText | undefined, originOf: OriginOf): RunnerSettings {
  const kindOf = (text: RunnerText): Json | undefined => (typeof text === 'string' ? text : text.kind);
  if (line === undefined || (typeof line === 'string' && line === kindOf(file))) return runnerSettings(file, originOf);
  return runnerSettings(line, () => ({ where: '--runner' }));
}
