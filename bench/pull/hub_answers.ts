/** What a hub answers, as huggingface.co does. */
import { chunkedHash, reconstruction, storedObject } from './hub_chunks.js';
import type { HubExchange } from './hub_exchange.js';
import type { HubFile, HubModel } from './hub_model.js';
import { sendBytes } from './sent_bytes.js';

const CHUNKED_TYPE = 'application/vnd.xet-fileinfo+json';
/** Of the storage that keeps chunks, which has tokens of its own. */
const STORAGE_TOKEN = 'storage-token';
const PAGE_SIZE = 1000;

/** Answers of the hub itself. */
export async function answerHub(exchange: HubExchange): Promise<void> {
  const { pathname } = exchange.url;
  const api = /^\/api\/models\/([^/]+\/[^/]+)(?:\/(revision|tree|xet-read-token)\/([^/]+))?$/.exec(pathname);
  if (api !== null) {
    answerApi(exchange, api[1]!, api[2] ?? 'revision', decodeURIComponent(api[3] ?? 'main'));
    return;
  }
  const kept = /^\/api\/resolve-cache\/models\/([^/]+\/[^/]+)\/([^/]+)\/(.+)$/.exec(pathname);
  if (kept !== null) return answerFile(exchange, kept[1]!, kept[2]!, decodeURIComponent(kept[3]!), true);
  const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
  if (file === null) {
    refuse(exchange, 404, '', 'Not found');
    return;
  }
  return answerFile(exchange, file[1]!, decodeURIComponent(file[2]!), decodeURIComponent(file[3]!), false);
}

/** Answers of the other address, where large files lie, whole or in chunks. Whoever has the link may read. */
export async function answerStorage({ request, response, url, options, fault, storage }: HubExchange): Promise<void> {
  const [kind, id = '', name = ''] = url.pathname.slice(1).split('/');
  const all = options.models.flatMap(({ commits }) => [...commits.values()].flat());
  const large = all.filter(({ sha256 }) => sha256 !== null);
  const bySha = large.find(({ sha256 }) => kind === 'whole' && sha256 === id);
  if (bySha !== undefined) {
    response.setHeader('ETag', `"${id}"`);
    return sendBytes(request, response, bySha.bytes, fault);
  }
  const ofChunks = large.find((file) => chunkedHash(file) === (kind === 'objects' ? id : name));
  if (ofChunks === undefined) return void response.writeHead(404).end();
  if (kind === 'objects') return sendBytes(request, response, storedObject(ofChunks, Number(name)), fault);
  if (request.headers.authorization !== `Bearer ${STORAGE_TOKEN}`) return void response.writeHead(401).end();
  const [, begin = '0', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const end = last === '' ? ofChunks.bytes.length : Number(last) + 1;
  sendJson(response, reconstruction(ofChunks, Number(begin), end, kind === 'v1' ? 'v1' : 'v2', storage));
}

function answerApi(exchange: HubExchange, name: string, what: string, revision: string): void {
  const { response, storage, hub, url, options } = exchange;
  const found = modelFor(exchange, name);
  if (found === null) return;
  const commit = found.refs.get(revision) ?? revision;
  const files = found.commits.get(commit);
  if (files === undefined) return refuse(exchange, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
  if (what === 'xet-read-token') {
    const exp = Math.floor(Date.now() / 1000) + 3600;
    response.setHeader('X-Xet-Cas-Url', storage).setHeader('X-Xet-Access-Token', STORAGE_TOKEN);
    response.setHeader('X-Xet-Token-Expiration', exp);
    return sendJson(response, { accessToken: STORAGE_TOKEN, casUrl: storage, exp });
  }
  if (what === 'revision') {
    const siblings = files.map(({ path }) => ({ rfilename: path }));
    const lastModified = '2026-01-01T00:00:00.000Z';
    const gated = found.access === 'gated' ? 'manual' : false;
    const common = {
      _id: '0',
      id: name,
      modelId: name,
      sha: commit,
      lastModified,
      private: found.access === 'private',
    };
    return sendJson(response, { ...common, gated, siblings, tags: [], downloads: 0, likes: 0 });
  }
  const begin = Number(url.searchParams.get('cursor') ?? '0');
  const end = begin + (options.pageSize ?? PAGE_SIZE);
  const entries = [...foldersOf(files), ...files.map((file) => entryOf(file, found))];
  if (end < entries.length) {
    const next = new URL(url);
    next.searchParams.set('cursor', String(end));
    response.setHeader('Link', `<${hub}${next.pathname}${next.search}>; rel="next"`);
  }
  sendJson(response, entries.slice(begin, end));
}

function foldersOf(files: readonly HubFile[]): object[] {
  const paths = files.flatMap(({ path }) =>
    path
      .split('/')
      .slice(0, -1)
      .map((_, i, parts) => parts.slice(0, i + 1).join('/')),
  );
  return [...new Set(paths)].map((path) => ({ type: 'directory', oid: '0'.repeat(40), size: 0, path }));
}

function entryOf(file: HubFile, { hasChunks }: HubModel): object {
  const { path, oid, sha256, bytes } = file;
  const common = { type: 'file', oid, size: bytes.length, path };
  if (sha256 === null) return common;
  const lfs = { oid: sha256, size: bytes.length, pointerSize: 134 };
  return { ...common, lfs, ...(hasChunks && { xetHash: chunkedHash(file) }) };
}

/** Small files by way of an address that keeps them by commit, large ones by way of the other server. */
async function answerFile(
  exchange: HubExchange,
  name: string,
  revision: string,
  path: string,
  isKept: boolean,
): Promise<void> {
  const { request, response, hub, storage, fault } = exchange;
  const model = modelFor(exchange, name);
  if (model === null) return;
  const commit = model.refs.get(revision) ?? revision;
  const files = model.commits.get(commit);
  if (files === undefined) {
    refuse(exchange, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
    return;
  }
  response.setHeader('X-Repo-Commit', commit);
  if (!mayRead(exchange, model)) return;
  const file = files.find((each) => each.path === path);
  if (file === undefined) {
    refuse(exchange, 404, 'EntryNotFound', 'Entry not found');
    return;
  }
  const { sha256, oid, bytes } = file;
  if (sha256 === null) {
    response.setHeader('ETag', `"${oid}"`);
    if (isKept) return sendBytes(request, response, bytes, fault);
    return void response
      .writeHead(307, { Location: `/api/resolve-cache/models/${name}/${commit}/${encodeURIComponent(path)}` })
      .end();
  }
  response.setHeader('X-Linked-ETag', `"${sha256}"`).setHeader('X-Linked-Size', bytes.length);
  if (model.hasChunks) {
    const hash = chunkedHash(file);
    const auth = `<${hub}/api/models/${name}/xet-read-token/${commit}>; rel="xet-auth"`;
    response.setHeader('X-Xet-Hash', hash);
    response.setHeader('Link', `${auth}, <${storage}/v1/reconstructions/${hash}>; rel="xet-reconstruction-info"`);
    if (request.headers.accept?.includes(CHUNKED_TYPE) === true)
      return void response.writeHead(200, { 'Content-Type': CHUNKED_TYPE }).end('{}');
  }
  response.writeHead(302, { Location: `${storage}/whole/${sha256}?signature=0` }).end();
}

/** Null: it was refused, in the words of the hub, which doesn't tell strangers what it has. */
function modelFor(exchange: HubExchange, name: string): HubModel | null {
  const { request, options } = exchange;
  const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
  const model = options.models.find((each) => each.name === name);
  const isKnown = token !== undefined && Object.hasOwn(options.tokens ?? {}, token);
  if (token !== undefined && !isKnown) refuse(exchange, 401, '', 'Invalid credentials in Authorization header');
  else if (model !== undefined && (isKnown || model.access !== 'private')) return model;
  else if (token === undefined) refuse(exchange, 401, '', 'Invalid username or password.');
  else refuse(exchange, 404, 'RepoNotFound', 'Repository not found');
  return null;
}

function mayRead(exchange: HubExchange, { name, access }: HubModel): boolean {
  const token = /^Bearer (.*)$/.exec(exchange.request.headers.authorization ?? '')?.[1];
  if (access !== 'gated' || (token !== undefined && exchange.options.tokens?.[token] === true)) return true;
  const what = `Access to model ${name} is restricted`;
  if (token === undefined)
    refuse(exchange, 401, 'GatedRepo', `${what}. You must have access to it and be authenticated to access it.`);
  else refuse(exchange, 403, 'GatedRepo', `${what} and you are not in the authorized list.`);
  return false;
}

function refuse({ response }: HubExchange, status: number, code: string, message: string): void {
  if (code !== '') response.setHeader('X-Error-Code', code);
  response.setHeader('X-Error-Message', message).setHeader('Content-Type', 'application/json');
  response.writeHead(status).end(JSON.stringify({ error: message }));
}

function sendJson(response: HubExchange['response'], value: unknown): void {
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(value));
}
