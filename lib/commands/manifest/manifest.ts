/** `expertwire manifest`: objects of Kubernetes as YAML, for `kubectl apply -f -`. */
import { readFile } from 'node:fs/promises';
import { causeText } from '../../../base/foreign_text.js';
import { yamlOf, type KubernetesObject } from '../../kubernetes/manifests/objects.js';
import { jobManifest, leaderWorkerSetManifest } from '../../kubernetes/manifests/ranks.js';
import { serverManifest } from '../../kubernetes/manifests/server.js';
import { workersManifest } from '../../kubernetes/manifests/workers.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { checkedManifest, type CheckedManifest, type ManifestArgs } from './manifest_options.js';

/** Prints the objects; what they need beside them, and the line that makes them again, stands above as a comment. @throws UsageError */
export async function manifest(args: ManifestArgs, { stdout }: CommandContext): Promise<void> {
  const settings = checkedManifest(args);
  const config = args.config === undefined ? undefined : await textOf(args.config);
  stdout.write(yamlOf(objectsOf(args, settings, config), [`Made by: ${lineOf(args)}`, ...needs(args, settings)]));
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`--config ${path} can't be read (${causeText(cause)}); check the path`);
  });
}

/** Objects of a kind, in the order in which they are to be made. */
function objectsOf(
  { kind }: ManifestArgs,
  { command, ...settings }: CheckedManifest,
  config: string | undefined,
): readonly KubernetesObject[] {
  switch (kind) {
    case 'job':
      return jobManifest({ ...settings, command, config });
    case 'leader-worker-set':
      return leaderWorkerSetManifest({ ...settings, command: ['serve', ...served(command, config)], config });
    case 'serve':
      return serverManifest({ ...settings, args: served(command, config), config });
    case 'workers':
      return workersManifest({ ...settings, args: command });
  }
}

/** The model that the image has, where nothing says which. */
const served = (command: readonly string[], config: string | undefined): readonly string[] =>
  command.length === 0 && config === undefined ? ['--model', 'models/moe-7m'] : command;

/** What the objects name and don't bring. */
function needs(
  { kind }: ManifestArgs,
  { secret, claim, pullSecret, envSecrets = [] }: CheckedManifest,
): readonly string[] {
  const isJob = kind === 'job' || kind === 'leader-worker-set';
  const others = [...envSecrets, ...(pullSecret === undefined ? [] : [pullSecret])];
  return [
    ...(isJob
      ? [
          `Once before: openssl rand -hex 16 | tr -d '\\n' | kubectl create secret generic ${secret} --from-file=secret=/dev/stdin`,
        ]
      : []),
    ...(kind === 'leader-worker-set'
      ? ['The controller of LeaderWorkerSet has to be there: https://lws.sigs.k8s.io']
      : []),
    ...(others.length === 0 ? [] : [`Secrets that have to be there: ${others.join(', ')}`]),
    ...(claim === undefined ? [] : [`A PersistentVolumeClaim with models that has to be there: ${claim}`]),
  ];
}

/** The line that was typed, in one order. */
function lineOf({ kind, '--': command = [], ...options }: ManifestArgs): string {
  const given = Object.entries(options).flatMap(([name, value]: [string, unknown]) => {
    const isOption = /^[a-z][A-Za-z]*$/.test(name) && value !== undefined && !OTHERS.has(name);
    const values = Array.isArray(value) ? (value as unknown[]) : [value];
    return isOption ? values.flatMap((each) => [`--${kebab(name)}`, shellWord(String(each))]) : [];
  });
  const words = ['expertwire', 'manifest', kind, ...given];
  return [...words, ...(command.length === 0 ? [] : ['--', ...command.map(shellWord)])].join(' ');
}

/** What yargs adds. */
const OTHERS: ReadonlySet<string> = new Set(['_', '$0', 'help', 'h', 'version']);
const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** A word for a shell of POSIX, in one line. */
const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`).replaceAll(/[\r\n]+/g, ' ')}'`;
