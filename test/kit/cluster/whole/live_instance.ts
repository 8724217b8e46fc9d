/** An instance in this process: a real engine behind a real server, which can be killed at any moment as a process is, with all that it has open. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Role } from '../../../../lib/config/cluster_schema.js';
import { loadConfig } from '../../../../lib/config/load.js';
import { createServer, type HttpServer } from '../../../../lib/server/create_server.js';
import type { MemoryKvSpace } from '../../comm/memory_kv.js';
import { startLocalEngine, type LocalEngine } from '../../engine/local_engine.js';
import { StepGate } from '../../engine/step_gate.js';
import type { Messages } from './messages.js';

/** What it is. */
export interface InstanceSetup {
  readonly id: string;
  readonly numRanks: number;
  /** Default 'mixed'. */
  readonly role?: Role;
  /** Further keys: 'engine.block_size=4'. */
  readonly set?: readonly string[];
}

/** What all of a cluster have in common. */
export interface Surroundings {
  readonly model: string;
  /** Null: an instance on its own. */
  readonly clusterKey: string | null;
  /** Of all of them: 'engine.block_size=4'. */
  readonly set: readonly string[];
  readonly space: MemoryKvSpace;
  readonly messages: Messages;
  /** Whose code runs: what it asks others ends with it. */
  readonly owner: AsyncLocalStorage<{ readonly dead: AbortSignal }>;
}

/** What is not a part of what becomes of a request. */
const ASIDE = /^(GET \/health|GET \/cluster\/events|GET \/v1\/models)$/;
const EVENTS = 'GET /cluster/events';

export class LiveInstance {
  isDead = false;
  /** Events reach nobody, and nobody may ask for them. */
  isUnheard = false;
  /** Whoever asks as routers do isn't there any more. */
  isRouterGone = false;
  /** Told of each request that comes: its method and path. */
  onRequest: (what: string) => void = () => undefined;
  url = '';
  private readonly sockets = new Set<Socket>();
  /** By what asks over them. */
  private readonly askers = new Map<Socket, 'router' | 'events' | 'instance'>();

  private constructor(
    readonly setup: InstanceSetup,
    readonly local: LocalEngine,
    /** Holds its steps. */
    readonly gate: StepGate,
    private readonly server: HttpServer,
    private readonly around: Surroundings,
    private readonly dead: AbortController,
  ) {}

  static start(setup: InstanceSetup, around: Surroundings): Promise<LiveInstance> {
    const dead = new AbortController();
    return around.owner.run({ dead: dead.signal }, () => LiveInstance.begin(setup, around, dead));
  }

  private static async begin(setup: InstanceSetup, around: Surroundings, dead: AbortController): Promise<LiveInstance> {
    const { id, numRanks, role = 'mixed', set: own = [] } = setup;
    const { model, clusterKey, space } = around;
    const inCluster = ['cluster.enabled=true', `cluster.id=${id}`, `cluster.role=${role}`];
    const set = [...(clusterKey === null ? [] : inCluster), ...around.set, ...own];
    const gate = new StepGate();
    const local = await startLocalEngine(model, { numRanks, set, observer: gate, kv: space });
    const config = await loadConfig({ base: { model, server: { port: 0 } }, overrides: set });
    const clusterKeys = clusterKey === null ? [] : [clusterKey];
    const server = await createServer(local.engine, { config, clusterKeys });
    const instance = new LiveInstance(setup, local, gate, server, around, dead);
    await instance.listen();
    return instance;
  }

  get id(): string {
    return this.setup.id;
  }

  /** Requests that it computes now. */
  get numRunning(): number {
    return this.local.engine.load.ranks.reduce((sum, { numRunning }) => sum + numRunning, 0);
  }

  /** Nothing waits there, runs or holds a block. */
  get isIdle(): boolean {
    const { numWaiting, ranks } = this.local.engine.load;
    return numWaiting === 0 && ranks.every(({ numRunning, numUsedBlocks }) => numRunning + numUsedBlocks === 0);
  }

  /** What it has, for who reads why a test failed. */
  get held(): object {
    const { numWaiting, ranks } = this.local.engine.load;
    return {
      id: this.id,
      numWaiting,
      ranks: ranks.map(({ numRunning, numUsedBlocks }) => [numRunning, numUsedBlocks]),
    };
  }

  /** As a process that is killed: what it had open is closed, and it says nothing more. */
  kill(): void {
    if (this.isDead) return;
    this.isDead = true;
    this.dead.abort(new Error(`${this.id} is dead`));
    this.server.app.server.close();
    for (const socket of this.sockets) socket.destroy();
    for (const rank of this.local.engine.load.ranks.keys()) this.local.fail(rank);
    this.gate.open();
  }

  /** The router is killed: what it had open here is closed. */
  loseRouter(): void {
    this.isRouterGone = true;
    this.cut('router');
  }

  /** The bus is dead, or lives again. */
  setUnheard(isUnheard: boolean): void {
    this.isUnheard = isUnheard;
    if (isUnheard) this.cut('events');
  }

  async close(): Promise<void> {
    this.gate.open();
    await this.server.close();
    await this.local.close();
  }

  private async listen(): Promise<void> {
    const { app } = this.server;
    const { owner, messages } = this.around;
    app.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => {
        this.sockets.delete(socket);
        this.askers.delete(socket);
      });
    });
    app.addHook('onRequest', (request, reply, done) => {
      const what = `${request.method} ${request.url.replace(/\?.*/, '').replace(/\/[0-9a-f]{32}/, '/ID')}`;
      const asker = what === EVENTS ? 'events' : request.headers['user-agent'] === 'node' ? 'instance' : 'router';
      this.askers.set(request.raw.socket, asker);
      const isAside = ASIDE.test(what);
      if (!isAside) messages.pass({ kind: 'request', at: this.id, what });
      this.onRequest(what);
      if (this.isShutTo(asker)) {
        request.raw.socket.destroy();
        return;
      }
      if (!isAside) this.countPieces(reply.raw, what);
      owner.run({ dead: this.dead.signal }, done);
    });
    this.url = await this.server.listen();
  }

  private isShutTo(asker: 'router' | 'events' | 'instance'): boolean {
    return this.isDead || (asker === 'events' && this.isUnheard) || (asker === 'router' && this.isRouterGone);
  }

  /** Whatever is written is a message; what is written when the instance is dead reaches nobody, its socket is closed. */
  private countPieces(response: ServerResponse, what: string): void {
    const { messages } = this.around;
    const pass = (): void => messages.pass({ kind: 'piece', at: this.id, what });
    const [write, end] = [response.write.bind(response), response.end.bind(response)] as [Write, Write];
    Object.assign(response, {
      write: (...args: unknown[]) => {
        pass();
        return write(...args);
      },
      end: (...args: unknown[]) => {
        pass();
        return end(...args);
      },
    });
  }

  private cut(asker: 'router' | 'events'): void {
    for (const [socket, who] of this.askers) if (who === asker) socket.destroy();
  }
}

type Write = (...args: unknown[]) => unknown;
