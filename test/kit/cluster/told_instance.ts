/** An instance that tells of itself over HTTP, as lib/server/cluster does; or whatever else a test has answer there. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { InstanceRecord } from '../../../lib/cluster/base/instance_record.js';
import { InstanceEvents } from '../../../lib/cluster/bus/instance_events.js';
import { InstanceTeller } from '../../../lib/cluster/bus/instance_teller.js';
import { PROOF_HEADER } from '../../../lib/cluster/base/key_proof.js';
import { ApiKeys } from '../../../lib/server/http/api_keys.js';
import { recordOf } from './members.js';
import { PlayedToldEngine } from './told_engine.js';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server at a port of its own, or where one was before. */
export class PlayedHttp {
  private constructor(
    readonly server: Server,
    readonly port: number,
    readonly asked: string[],
  ) {}

  static async listen(answer: Answer, port = 0): Promise<PlayedHttp> {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(`${request.url} ${request.headers.authorization ?? 'without a key'}`);
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return new PlayedHttp(server, (server.address() as AddressInfo).port, asked);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** As if the process were killed. */
  async kill(): Promise<void> {
    const ended = this.end();
    this.server.closeAllConnections();
    await ended;
  }

  /** What was said arrives. */
  async end(): Promise<void> {
    if (!this.server.listening) return;
    this.server.on('connection', (socket) => socket.destroy()); // that the system had accepted already
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** The real teller and events of a played engine. */
export class ToldInstance {
  private constructor(
    readonly http: PlayedHttp,
    readonly engine: PlayedToldEngine,
    readonly teller: InstanceTeller,
    readonly events: InstanceEvents,
  ) {}

  /** `key`: who follows must have it. */
  static async start(
    record: Partial<InstanceRecord> & { readonly id: string },
    { port = 0, key = null as string | null, maxBehindBytes = 2 ** 20 } = {},
  ): Promise<ToldInstance> {
    const engine = new PlayedToldEngine();
    const teller = new InstanceTeller(engine, { record: recordOf(record.id, record), intervalMs: 1 });
    const events = new InstanceEvents(teller, { heartbeatMs: 5, maxBehindBytes });
    const keys = new ApiKeys([], key === null ? [] : [key]);
    const http = await PlayedHttp.listen(({ headers }, response) => {
      const proof = keys.proof({ headers });
      if (proof !== undefined) response.setHeader(PROOF_HEADER, proof);
      if (key !== null && headers.authorization !== `Bearer ${key}`) return void response.writeHead(403).end();
      const stream = events.open();
      if (stream === null) return void response.writeHead(503, { connection: 'close' }).end();
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      stream.pipe(response);
      response.once('close', () => stream.destroy());
    }, port);
    return new ToldInstance(http, engine, teller, events);
  }

  async kill(): Promise<void> {
    await this.http.kill();
    await this.teller.close();
  }

  async end(): Promise<void> {
    await this.teller.close();
    await this.http.end();
  }
}
