/** An API server and the machines behind it, played: requests are checked against Kubernetes' schemas, and pods are processes of this machine. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PlayedPod, type PodManifest } from './played_pod.js';
import { mistakesIn } from './schemas.js';

interface Stored {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: { readonly template: PodManifest };
}

/** What the cluster does otherwise than well. */
export interface FakeClusterOptions {
  /** Who asks has to have it. */
  readonly token?: string;
  /** What a pod of a machine that fails has for its status. Default: it runs. */
  readonly podStatus?: (job: Stored) => object | null;
  /** No pod is made, and an event says so. */
  readonly refusesPods?: string;
  /** Paths that are answered by a status. */
  readonly answers?: (method: string, path: string) => number | null;
}

/** Listens at a free port of this machine. */
export class FakeCluster {
  /** Of requests: 'POST /apis/batch/v1/…/jobs'. */
  readonly asked: string[] = [];
  readonly jobs = new Map<string, Stored>();
  readonly configMaps = new Map<string, Stored>();
  readonly pods = new Map<string, PlayedPod>();
  private readonly watches = new Set<ServerResponse>();
  private readonly logs = new Set<ServerResponse>();
  private refusal: string | null;
  private version = 1;
  private readonly server = createServer((request, response) => void this.answer(request, response));

  constructor(private readonly options: FakeClusterOptions = {}) {
    this.refusal = options.refusesPods ?? null;
  }

  /** Where it listens. */
  async listen(): Promise<string> {
    await new Promise<void>((done) => this.server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Ends all pods. */
  async close(): Promise<void> {
    await Promise.all([...this.pods.values()].map((pod) => pod.delete(0)));
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  /** Pods are made from now on. */
  makeRoom(): void {
    this.refusal = null;
    this.startPods();
  }

  /** Whether a run that plays for long is so far that it can be asked to end. */
  hasBegun(): boolean {
    return [...this.pods.values()].some((pod) => !pod.isGone && pod.hasFile('tmp/run/began'));
  }

  /** As a proxy on the way does. */
  breakWatches(): void {
    for (const response of this.watches) response.destroy();
  }

  /** As one does that the way to a machine is lost by. */
  breakLogs(): void {
    for (const response of this.logs) response.destroy();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, 'http://cluster');
    const method = request.method!;
    this.asked.push(`${method} ${pathname}`);
    const { token, answers } = this.options;
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
      refuse(response, 401, 'Unauthorized');
      return;
    }
    const status = answers?.(method, pathname) ?? null;
    if (status !== null) {
      refuse(response, status, `it is played: ${status}`);
      return;
    }
    const body = await bodyOf(request);
    const [, kind = '', name, part] = /\/namespaces\/[^/]+\/(\w+)(?:\/([^/]+))?(?:\/(\w+))?$/.exec(pathname) ?? [];
    if (method === 'POST') {
      this.create(kind, body, response);
      return;
    }
    if (method === 'DELETE') {
      this.remove(kind, name!, body, response);
      return;
    }
    if (kind === 'events') {
      send(response, 200, { items: this.events() });
      return;
    }
    if (part === 'log') {
      this.follow(name!, response);
      return;
    }
    if (kind === 'pods') {
      this.list(searchParams, response);
      return;
    }
    refuse(response, 404, `${pathname} not found`);
  }

  private create(kind: string, object: Stored, response: ServerResponse): void {
    const mistakes = mistakesIn(object);
    if (mistakes.length > 0) return refuse(response, 422, mistakes.join('\n'));
    const store = kind === 'jobs' ? this.jobs : this.configMaps;
    if (store.has(object.metadata.name)) return refuse(response, 409, 'already exists');
    const stored = { ...object, metadata: { ...object.metadata, uid: randomUUID() } };
    store.set(object.metadata.name, stored);
    if (kind === 'configmaps') this.startPods();
    send(response, 201, stored);
  }

  /** What the controller of Jobs and the machines do once all is there. */
  private startPods(): void {
    if (this.refusal !== null) return;
    for (const [name, job] of this.jobs) {
      const files = this.configMaps.get(name)?.data;
      if (files === undefined || this.pods.has(name)) continue;
      const status = this.options.podStatus?.(job) ?? null;
      const pod = new PlayedPod(name, job.spec!.template, files, status, (type, each) => this.tell(type, each));
      this.pods.set(name, pod);
    }
  }

  private remove(kind: string, name: string, body: object, response: ServerResponse): void {
    const mistakes = mistakesIn(body, 'DeleteOptions');
    if (mistakes.length > 0) return refuse(response, 422, mistakes.join('\n'));
    if (kind === 'pods') {
      const pod = [...this.pods.values()].find((each) => each.name === name && !each.isGone);
      if (pod === undefined) return refuse(response, 404, 'not found');
      void pod.delete();
      return send(response, 200, pod.object);
    }
    const store = kind === 'jobs' ? this.jobs : this.configMaps;
    if (!store.delete(name)) return refuse(response, 404, 'not found');
    if (kind === 'jobs') void this.pods.get(name)?.delete();
    send(response, 200, { kind: 'Status', apiVersion: 'v1', status: 'Success' });
  }

  private list(query: URLSearchParams, response: ServerResponse): void {
    const [, wanted] = query.get('labelSelector')!.split('=');
    const pod = this.pods.get(wanted!);
    const items = pod === undefined || pod.isGone ? [] : [pod.object];
    if (query.get('watch') !== 'true')
      return send(response, 200, { kind: 'PodList', metadata: { resourceVersion: String(this.version) }, items });
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    if (Number(query.get('resourceVersion')) < this.version) {
      response.end(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410 } })}\n`); // asked anew
      return;
    }
    Object.assign(response, { wanted });
    this.watches.add(response);
    response.on('close', () => this.watches.delete(response));
  }

  private tell(type: string, pod: PlayedPod): void {
    this.version++;
    for (const response of this.watches)
      if ((response as unknown as { wanted: string }).wanted === pod.job)
        response.write(`${JSON.stringify({ type, object: pod.object })}\n`);
  }

  private follow(name: string, response: ServerResponse): void {
    const pod = [...this.pods.values()].find((each) => each.name === name);
    if (pod === undefined || pod.isGone) return refuse(response, 404, 'not found');
    response.writeHead(200, { 'content-type': 'text/plain' }).flushHeaders();
    this.logs.add(response);
    const forget = pod.read(
      (chunk) => response.write(chunk),
      () => response.end(),
    );
    response.on('close', () => {
      this.logs.delete(response);
      forget();
    });
  }

  private events(): readonly object[] {
    const message = this.refusal;
    return message === null ? [] : [{ reason: 'SuccessfulCreate' }, { reason: 'FailedCreate', message }];
  }
}

async function bodyOf(request: IncomingMessage): Promise<Stored> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk as Uint8Array);
  return (chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString())) as Stored;
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

const refuse = (response: ServerResponse, code: number, message: string): void =>
  send(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message });
