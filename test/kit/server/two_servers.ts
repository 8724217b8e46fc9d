/** Two instances of a cluster in this process, behind HTTP, and a hand that moves requests from one to the other as a router would. */
import { loadConfig } from '../../../lib/config/load.js';
import { createServer, type HttpServer } from '../../../lib/server/create_server.js';
import { noteOf, ROUTER_HEADER, type StreamNote } from '../../../lib/server/cluster/stream_notes.js';
import type { OfferedParams } from '../../../lib/server/cluster/transfer_params.js';
import type { LocalEngine, LocalEngineOptions } from '../engine/local_engine.js';
import { StepGate } from '../engine/step_gate.js';
import { TwoEngines } from '../engine/two_engines.js';

/** One block of a stream. */
export interface Block {
  /** Without its note. */
  readonly data: string;
  readonly note: StreamNote | null;
}

/** A request, as its client sends it. */
export interface Asked {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

type Begun = Extract<StreamNote, { kind: 'begun' }>;

/** What other servers of the same cluster have in common. */
export const CLUSTER_KEY = 'the key of the cluster';

export class TwoServers {
  private numRequests = 0;

  private constructor(
    readonly engines: TwoEngines,
    /** Of the first. */
    readonly gate: StepGate,
    /** Where requests come from, and where they go. */
    readonly from: string,
    readonly to: string,
  ) {}

  /** Runs `act` on two instances, which hold nothing afterwards. */
  static async use(
    modelDir: string,
    options: readonly [LocalEngineOptions, LocalEngineOptions],
    act: (two: TwoServers) => Promise<void>,
  ): Promise<void> {
    const gate = new StepGate();
    const [first, second] = options;
    await TwoEngines.use(modelDir, [{ ...first, observer: gate }, second], async (engines) => {
      const servers: HttpServer[] = [];
      try {
        const urls: string[] = [];
        for (const { engine } of [engines.from, engines.to]) {
          const config = await loadConfig({
            base: { model: modelDir, cluster: { enabled: true }, server: { port: 0 } },
          });
          const server = await createServer(engine, { config, clusterKeys: [CLUSTER_KEY] });
          servers.push(server);
          urls.push(await server.listen());
        }
        await act(new TwoServers(engines, gate, urls[0]!, urls[1]!));
      } finally {
        gate.open();
        await Promise.all(servers.map((server) => server.close()));
      }
    });
  }

  /** A whole answer, and its status. `headers`: besides the cluster key. */
  async whole(url: string, { path, body }: Asked, headers: Readonly<Record<string, string>> = {}) {
    const answer = await this.post(url + path, body, headers);
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
  }

  /** The blocks of a stream for a router, as they come. */
  async *stream(url: string, { path, body }: Asked, name: string): AsyncGenerator<Block, void, undefined> {
    const answer = await this.post(url + path, { ...body, stream: true }, routed(name));
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    let rest = '';
    for await (const piece of answer.body!.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + piece).split('\n\n');
      rest = blocks.pop()!;
      yield* blocks.map(blockOf);
    }
  }

  /** Another instance may go on with it now. */
  async lease(name: string): Promise<OfferedParams> {
    const answer = await this.post(`${this.from}/v1/kv/leases`, { request_id: name });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    return (await answer.json()) as OfferedParams;
  }

  /** The same of one that may not have come to the engine yet. */
  async leaseOnceRunning(name: string): Promise<OfferedParams> {
    await runsIn(this.engines.from);
    return this.lease(name);
  }

  /** Waits until the target has a request. */
  untilThere(): Promise<void> {
    return runsIn(this.engines.to);
  }

  /**
   * A stream that goes on in the other instance, moved as soon as `numTokens` of it were told: what its client sees. The source goes no further before the target was
   * asked. `name`: of the request.
   */
  async movedStream(asked: Asked, numTokens: number, name = this.nextName()): Promise<readonly string[]> {
    const told: Block[] = [];
    let there: Promise<readonly Block[]> | null = null;
    this.gate.closeAfter(numTokens);
    for await (const block of this.stream(this.from, asked, name)) {
      told.push(block);
      if (there !== null || tokensOf(told).length < numTokens) continue;
      const params = await this.lease(name);
      there = this.goOn(asked, name, told, params, () => this.gate.open());
    }
    return this.joined(told, await there!, numTokens);
  }

  /** The same of one that is handed over behind its prompt. */
  async handedOverStream(asked: Asked, name = this.nextName()): Promise<readonly string[]> {
    const told: Block[] = [];
    let there: Promise<readonly Block[]> | null = null;
    const body = { ...asked.body, kv_transfer_params: { do_remote_decode: true } };
    for await (const block of this.stream(this.from, { ...asked, body }, name)) {
      told.push(block);
      if (block.note?.kind === 'kv') there = this.goOn(asked, name, told, block.note.params);
    }
    return this.joined(told, await there!, 0);
  }

  /** Both legs as one: the second tells again what came behind the first `numTokens`. */
  private joined(told: readonly Block[], there: readonly Block[], numTokens: number): readonly string[] {
    if (told.at(-1)!.note?.kind !== 'moved') throw new Error('it was over before it moved');
    return [...dataOf(told), ...dataOf(behind(there, tokensOf(told).length - numTokens))];
  }

  /** The rest of a stream, of which the client has `told`, from the other instance. */
  async goOn(
    asked: Asked,
    name: string,
    told: readonly Block[],
    params?: OfferedParams,
    onBegun: () => void = () => undefined,
  ): Promise<readonly Block[]> {
    const { seed, created } = begunOf(told);
    const resume = { token_ids: tokensOf(told), seed, created };
    const body = { ...asked.body, resume, ...(params !== undefined && { kv_transfer_params: params }) };
    const blocks: Block[] = [];
    for await (const block of this.stream(this.to, { ...asked, body }, name)) {
      if (blocks.push(block) === 1) onBegun();
    }
    return blocks;
  }

  nextName(): string {
    return `request-${this.numRequests++}`;
  }

  private post(url: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(url, {
      ...{ method: 'POST', body: JSON.stringify(body) },
      headers: { 'content-type': 'application/json', authorization: `Bearer ${CLUSTER_KEY}`, ...headers },
    });
  }
}

async function runsIn({ engine }: LocalEngine): Promise<void> {
  const isIdle = (): boolean =>
    engine.load.numWaiting === 0 && engine.load.ranks.every(({ numRunning }) => numRunning === 0);
  while (isIdle()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Of a router. */
export const routed = (name: string): Readonly<Record<string, string>> => ({
  [ROUTER_HEADER]: '1',
  'x-request-id': name,
});

/** What a stream says first. */
export const begunOf = (blocks: readonly Block[]): Begun =>
  blocks.find(({ note }) => note?.kind === 'begun')!.note as Begun;

/** Output that blocks tell. */
export const tokensOf = (blocks: readonly Block[]): number[] =>
  blocks.flatMap(({ note }) => (note?.kind === 'tokens' ? note.tokenIds : []));

/** What the client sees of blocks; times of their own are no part of it. */
export const dataOf = (blocks: readonly Block[]): string[] =>
  blocks
    .filter(({ data }) => data !== '')
    .map(({ data }) => data.replace(/"(created|created_at|completed_at)":\d+/g, '"$1":0'));

/** Blocks behind so many tokens of those that tell some. */
function behind(blocks: readonly Block[], numTokens: number): readonly Block[] {
  const at = blocks.findIndex((_, i) => tokensOf(blocks.slice(0, i + 1)).length >= numTokens);
  return numTokens === 0 ? blocks : blocks.slice(at + 1);
}

function blockOf(text: string): Block {
  const [first = '', ...rest] = text.split('\n');
  const note = noteOf(first);
  return note === null ? { data: text, note } : { data: rest.join('\n'), note };
}
