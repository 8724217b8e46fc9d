/** Which cluster, and who asks: from a pod's service account, or a kubeconfig as kubectl has it. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import { causeText, printable } from '../../../base/foreign_text.js';
import { KubernetesError } from './errors.js';

/** How an API server is reached. */
export interface Connection {
  /** https://HOST:PORT, with a path where the server has one. */
  readonly server: string;
  /** Where objects are made unless somebody says otherwise. */
  readonly namespace: string;
  /** PEM. Default: what Node trusts. */
  readonly ca?: string | undefined;
  /** PEM of a client's certificate and key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** What the server's certificate is for, where that isn't its host. */
  readonly serverName?: string | undefined;
  /** The server's certificate isn't looked at. Default false. */
  readonly isInsecure?: boolean | undefined;
  /** A bearer token: asked for each request, because those of files are renewed. Default: none. */
  readonly token?: (() => Promise<string>) | undefined;
}

/** What is chosen of what there is. */
export interface ConnectionChoice {
  /** Path of a kubeconfig. Default: the first file of KUBECONFIG, then a pod's service account, then ~/.kube/config. */
  readonly kubeconfig?: string | null;
  /** Of the kubeconfig. Default: its current one. */
  readonly context?: string | null;
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** @throws KubernetesError BAD_KUBECONFIG */
export async function connectionOf(
  env: Readonly<Record<string, string | undefined>>,
  { kubeconfig = null, context = null }: ConnectionChoice,
  accountFolder = ACCOUNT,
): Promise<Connection> {
  const named = kubeconfig ?? env.KUBECONFIG?.split(delimiter).find((path) => path !== '') ?? null;
  const host = env.KUBERNETES_SERVICE_HOST;
  if (named === null && context === null && host !== undefined) {
    return inCluster(host, env.KUBERNETES_SERVICE_PORT ?? '443', accountFolder);
  }
  const path = resolve(named ?? join(env.HOME ?? homedir(), '.kube', 'config'));
  return fromKubeconfig(path, context);
}

async function inCluster(host: string, port: string, folder: string): Promise<Connection> {
  const file = (name: string): Promise<string> => readText(join(folder, name), 'the pod’s service account');
  const [ca, namespace] = await Promise.all([file('ca.crt'), file('namespace')]);
  const name = host.includes(':') ? `[${host}]` : host;
  return {
    ...{ server: `https://${name}:${port}`, namespace: namespace.trim(), ca },
    token: async () => (await file('token')).trim(),
  };
}

const text = z.string().min(1).nullish();

const CONFIG = z.object({
  'current-context': text,
  contexts: z
    .array(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: text, namespace: text }) }))
    .nullish(),
  clusters: z
    .array(
      z.object({
        name: z.string(),
        cluster: z.object({
          server: z.string(),
          'certificate-authority': text,
          'certificate-authority-data': text,
          'insecure-skip-tls-verify': z.boolean().nullish(),
          'tls-server-name': text,
        }),
      }),
    )
    .nullish(),
  users: z
    .array(
      z.object({
        name: z.string(),
        user: z.looseObject({
          'client-certificate': text,
          'client-certificate-data': text,
          'client-key': text,
          'client-key-data': text,
          token: text,
          tokenFile: text,
        }),
      }),
    )
    .nullish(),
});

async function fromKubeconfig(path: string, asked: string | null): Promise<Connection> {
  const shownPath = printable(path);
  const config = CONFIG.safeParse(yamlOf(await readText(path, 'the kubeconfig'), shownPath));
  if (!config.success) {
    const [issue] = config.error.issues;
    throw bad(
      `${shownPath} is no kubeconfig (${issue!.path.join('.')}: ${issue!.message}); look at it with kubectl config view`,
    );
  }
  const { contexts, clusters, users, 'current-context': current } = config.data;
  const name = asked ?? current ?? null;
  const pick = <T extends { readonly name: string }>(
    what: string,
    list: readonly T[] | null | undefined,
    wanted: string,
  ): T => {
    const found = list?.find((each) => each.name === wanted);
    if (found !== undefined) return found;
    const names = list?.map((each) => each.name).join(', ') ?? '';
    throw bad(
      `${shownPath} has no ${what} ${printable(wanted)}; give one of those that it has (${printable(names) || 'none'})`,
    );
  };
  if (name === null) throw bad(`${shownPath} has no current context; choose one with kubectl config use-context NAME`);
  const { context } = pick('context', contexts, name);
  const { cluster } = pick('cluster', clusters, context.cluster);
  const user = context.user == null ? {} : pick('user', users, context.user).user;
  const folder = dirname(path);
  const pem = async (key: string, values: Readonly<Record<string, unknown>>): Promise<string | undefined> => {
    const data = values[`${key}-data`];
    if (typeof data === 'string') return Buffer.from(data, 'base64').toString();
    const file = values[key];
    return typeof file === 'string' ? readText(resolve(folder, file), key) : undefined;
  };
  const [ca, cert, key] = await Promise.all([
    pem('certificate-authority', cluster),
    pem('client-certificate', user),
    pem('client-key', user),
  ]);
  return {
    ...{ server: cluster.server.replace(/\/+$/, ''), namespace: context.namespace ?? 'default', ca, cert, key },
    serverName: cluster['tls-server-name'] ?? undefined,
    isInsecure: cluster['insecure-skip-tls-verify'] ?? false,
    token: tokenOf(user, folder, shownPath),
  };
}

function tokenOf(user: Readonly<Record<string, unknown>>, folder: string, path: string): Connection['token'] {
  const { tokenFile, token, exec, 'auth-provider': provider, username } = user;
  if (typeof tokenFile === 'string')
    return async () => (await readText(resolve(folder, tokenFile), 'tokenFile')).trim();
  if (typeof token === 'string') return () => Promise.resolve(token);
  if (exec === undefined && provider === undefined && username === undefined) return undefined;
  throw bad(
    `${path} has its user's token from another program, which expertwire doesn't run; start kubectl proxy and give a kubeconfig with server: http://127.0.0.1:8001, or a token of kubectl create token`,
  );
}

function yamlOf(content: string, path: string): unknown {
  try {
    return parse(content);
  } catch (cause) {
    throw bad(`${path} is no YAML (${causeText(cause)}); look at it with kubectl config view`);
  }
}

const readText = (path: string, what: string): Promise<string> =>
  readFile(path, 'utf8').catch((cause: unknown) => {
    throw new KubernetesError(
      'BAD_KUBECONFIG',
      `${what} can't be read at ${printable(path)} (${causeText(cause)}); set KUBECONFIG to a file that kubectl works with`,
      { cause },
    );
  });

const bad = (message: string): KubernetesError => new KubernetesError('BAD_KUBECONFIG', message);
