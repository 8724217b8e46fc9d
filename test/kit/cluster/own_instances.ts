/**
 * Instances of ours that play: no model, but tokens that follow from the seed, notes for routers, resume, leases and takeovers as lib/server/cluster has them.
 * Each of their moments can be the last one of an instance, or be held up.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { noteLine, type StreamNote } from '../../../lib/server/cluster/stream_notes.js';
import type { OfferedParams } from '../../../lib/server/cluster/transfer_params.js';

/** What happens at an instance, one after the other. */
export type Moment = 'asked' | 'begun' | 'offered' | 'token' | 'pulled' | 'committed' | 'moved' | 'done';

/** Called at each, with the tokens of the answer by then; it may wait. False: the instance dies there. */
export type Fate = (instance: string, moment: Moment, numTokens: number) => boolean | Promise<boolean>;

interface Body {
  readonly max_tokens?: number;
  readonly stream?: boolean;
  readonly request_id?: string;
  readonly kv_transfer_params?: Partial<Omit<OfferedParams, 'do_remote_decode'>> & {
    readonly do_remote_decode?: boolean;
  };
  readonly resume?: { readonly token_ids: readonly number[]; readonly seed: number; readonly created: number | null };
}

/** A request that another instance may take over. */
interface Sequence {
  readonly seed: number;
  readonly tokenIds: number[];
  /** It computes nothing behind its first token, or nothing more: somebody takes it over. */
  state: 'runs' | 'prompt' | 'paused' | 'moved';
  /** Told when that changes. */
  changed: () => void;
}

const setState = (sequence: Sequence, state: Sequence['state']): void => {
  sequence.state = state;
  sequence.changed();
};

const waits = ({ state, tokenIds }: Sequence): boolean =>
  state === 'paused' || (state === 'prompt' && tokenIds.length > 0);
const hasMoved = ({ state }: Sequence): boolean => state === 'moved';

/** Its n-th token. */
export const tokenOf = (seed: number, n: number): number => (seed + n * 7919) % 1000;
const textOf = (tokenId: number): string => ` t${tokenId}`;

/** What a client gets in all. */
export const textsOf = (seed: number, numTokens: number): string =>
  Array.from({ length: numTokens }, (_, n) => textOf(tokenOf(seed, n))).join('');

const CREATED = 1_700_000_000;

/** A cluster of them. */
export class OwnInstances {
  readonly all: OwnInstance[] = [];
  private readonly leases = new Map<string, Sequence>();

  constructor(
    readonly seed: number,
    readonly fate: Fate,
  ) {}

  async start(id: string): Promise<OwnInstance> {
    const instance = new OwnInstance(id, this);
    await instance.listen();
    this.all.push(instance);
    return instance;
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((instance) => instance.die()));
  }

  offer(sequence: Sequence, { port, id }: OwnInstance): OfferedParams {
    const leaseId = randomBytes(16).toString('hex');
    this.leases.set(leaseId, sequence);
    return {
      ...{ do_remote_prefill: true, do_remote_decode: false, remote_engine_id: id, remote_request_id: 'r' },
      ...{ remote_block_ids: [], remote_host: '127.0.0.1', remote_port: port, remote_tls: false, tp_size: 1 },
      ...{ lease_id: leaseId, lease_token: randomBytes(32).toString('hex'), seed: sequence.seed },
    };
  }

  /** Undefined: it ran out, or is over. */
  sequenceOf(lease: string): Sequence | undefined {
    return this.leases.get(lease);
  }

  forget(sequence: Sequence): void {
    for (const [lease, each] of this.leases) if (each === sequence) this.leases.delete(lease);
  }

  endLease(lease: string): void {
    this.leases.delete(lease);
  }
}

/** One. */
export class OwnInstance {
  port = 0;
  readonly asked: Body[] = [];
  /** Rollbacks that it was told. */
  numRollbacks = 0;
  isDead = false;
  private readonly server: Server;
  private readonly running = new Map<string, Sequence>();

  constructor(
    readonly id: string,
    private readonly cluster: OwnInstances,
  ) {
    this.server = createServer(
      (request, response) => void this.answer(request, response).catch(() => response.destroy()),
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get numRunning(): number {
    return this.running.size;
  }

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  /** As a process that is killed. */
  async die(): Promise<void> {
    if (this.isDead) return;
    this.isDead = true;
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    for (const sequence of this.running.values()) {
      this.cluster.forget(sequence);
      sequence.changed();
    }
    await closed;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/health') {
      response.end('{}');
      return;
    }
    let text = '';
    for await (const piece of request.setEncoding('utf8')) text += piece as string;
    const body = (text === '' ? {} : JSON.parse(text)) as Body;
    const [, lease, call] = /^\/v1\/kv\/leases\/(\w+)\/(\w+)$/.exec(request.url ?? '') ?? [];
    if (request.url === '/v1/kv/leases') {
      this.lease(body, response);
      return;
    }
    if (lease !== undefined && call === 'rollback') {
      this.rollBack(lease, response);
      return;
    }
    const id = body.request_id ?? String(request.headers['x-request-id']);
    this.asked.push(body);
    await this.run(id, body, response);
  }

  private lease({ request_id: id = '' }: Body, response: ServerResponse): void {
    const sequence = this.running.get(id);
    if (sequence === undefined) response.writeHead(404).end('{}');
    else response.end(JSON.stringify(this.cluster.offer(sequence, this)));
  }

  private rollBack(lease: string, response: ServerResponse): void {
    this.numRollbacks++;
    const sequence = this.cluster.sequenceOf(lease);
    if (sequence !== undefined) setState(sequence, 'runs');
    this.cluster.endLease(lease);
    response.end('{}');
  }

  private async at(moment: Moment, numTokens = 0): Promise<void> {
    if (this.isDead || !(await this.cluster.fate(this.id, moment, numTokens))) {
      await this.die();
      throw new Error('dead');
    }
  }

  private async run(id: string, body: Body, response: ServerResponse): Promise<void> {
    await this.at('asked');
    const { resume, kv_transfer_params: params, max_tokens: numTokens = 16 } = body;
    const told = resume?.token_ids ?? [];
    const seed = resume?.seed ?? params?.seed ?? this.cluster.seed;
    const state = params?.do_remote_decode === true ? 'prompt' : 'runs';
    const sequence: Sequence = { seed, tokenIds: [], state, changed: () => undefined };
    const answer = new Answer(response, body.stream === true, told.length);
    this.running.set(id, sequence);
    const left = new Promise<void>((resolve) => response.once('close', resolve));
    try {
      answer.note({ kind: 'begun', seed, created: resume?.created ?? CREATED, isMovable: true });
      await this.at('begun');
      if (params?.do_remote_decode === true) {
        answer.note({ kind: 'kv', params: this.cluster.offer(sequence, this) });
        await this.at('offered');
      }
      const source = params?.do_remote_prefill === true ? params.lease_id : undefined;
      if (source !== undefined) await this.takeOver(source, told, sequence, answer);
      else sequence.tokenIds.push(...told);
      while (sequence.tokenIds.length < numTokens) {
        while (waits(sequence) && !response.destroyed && !this.isDead) {
          await Promise.race([left, new Promise<void>((resolve) => (sequence.changed = resolve))]);
        }
        if (hasMoved(sequence)) {
          await this.at('moved');
          answer.moved();
          return;
        }
        if (response.destroyed) return;
        const tokenId = tokenOf(seed, sequence.tokenIds.length);
        sequence.tokenIds.push(tokenId);
        answer.token(sequence.tokenIds.length, tokenId);
        await this.at('token', sequence.tokenIds.length);
      }
      answer.done(sequence);
      await this.at('done');
    } finally {
      this.running.delete(id);
    }
  }

  /** Waits until the source has paused, and has it end. Where the source is gone, all is computed anew. */
  private async takeOver(lease: string, told: readonly number[], sequence: Sequence, answer: Answer): Promise<void> {
    const source = this.cluster.sequenceOf(lease);
    if (source === undefined) {
      sequence.tokenIds.push(...told);
      return;
    }
    if (source.state === 'runs') setState(source, 'paused');
    await this.at('pulled');
    setState(source, 'moved');
    this.cluster.endLease(lease);
    await this.at('committed');
    for (const [n, tokenId] of source.tokenIds.entries()) {
      sequence.tokenIds.push(tokenId);
      answer.token(n + 1, tokenId);
    }
    answer.note({ kind: 'resumed', numTokens: sequence.tokenIds.length });
  }
}

/** As a stream with notes, or whole. */
class Answer {
  constructor(
    private readonly response: ServerResponse,
    private readonly isStream: boolean,
    private readonly numTold: number,
  ) {
    if (isStream) response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  }

  note(note: StreamNote, data = ''): void {
    if (this.isStream) this.response.write(`${noteLine(note)}${data}\n`);
  }

  token(numTokens: number, tokenId: number): void {
    if (numTokens <= this.numTold) return;
    const data = { choices: [{ index: 0, text: textOf(tokenId) }], created: CREATED };
    this.note({ kind: 'tokens', tokenIds: [tokenId] }, `data: ${JSON.stringify(data)}\n`);
  }

  moved(): void {
    if (this.isStream) this.response.end(`${noteLine({ kind: 'moved' })}\n`);
    else this.response.writeHead(409, { 'content-type': 'application/json' }).end('{"error":{"code":"moved"}}');
  }

  done({ tokenIds }: Sequence): void {
    if (this.isStream) this.response.end(`${noteLine({ kind: 'done' })}data: [DONE]\n\n`);
    else {
      const text = tokenIds.map(textOf).join('');
      this.response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ choices: [{ index: 0, text }], usage: { completion_tokens: tokenIds.length } }));
    }
  }
}
