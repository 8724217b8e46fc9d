/** A request of another instance, over HTTP: the target's side of the endpoints in lease_part.ts. Why: docs/decisions/cluster.md#leases-over-http */
import { causeText, jsonOrUndefined } from '../../../base/foreign_text.js';
import type { KvSource, SourceState } from '../../protocol/kv_source.js';
import { EngineError } from '../../protocol/errors.js';
import { boundedText, messageIn } from './answer_text.js';
import { leaseState, type LeaseStateMessage } from './lease_messages.js';

/** Whose lease it is, and where. */
export interface LeasePlace {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  readonly id: string;
  readonly token: string;
}

/** What an answer may have: a context of a million tokens. */
const MAX_ANSWER_BYTES = 8 * 2 ** 20;
/** Of a question whose connection broke, before the source counts as lost. */
const NUM_TRIES = 2;
/** A question waits for news so much shorter than an answer may take. */
const WAIT_SHARE = 1 / 3;
const NEVER = new AbortController().signal;

/** Whoever asks keeps the lease: so `more` is to be asked again and again. */
export class HttpKvSource implements KvSource {
  private version = -1;

  /** `timeoutMs`: of each answer, `cluster.lease_timeout_ms`. */
  constructor(
    private readonly place: LeasePlace,
    private readonly timeoutMs: number,
  ) {}

  /** What it is now. @throws EngineError SOURCE_LOST; the reason of the signal */
  open(signal: AbortSignal): Promise<SourceState> {
    return this.ask('GET', '', signal);
  }

  /** As {@link KvSource.more}. @throws EngineError SOURCE_LOST; the reason of the signal */
  more(numTokens: number, signal: AbortSignal): Promise<SourceState> {
    const wait = Math.floor(WAIT_SHARE * this.timeoutMs);
    return this.ask(
      'GET',
      `?after=${this.version}&tokens=${Math.min(numTokens, Number.MAX_SAFE_INTEGER)}&wait=${wait}`,
      signal,
    );
  }

  /** What it stays. @throws EngineError SOURCE_LOST; the reason of the signal */
  async finish(signal: AbortSignal): Promise<SourceState> {
    for (;;) {
      const state = await this.ask('POST', '/pause', signal);
      if (state.isFinal) return state;
    }
  }

  /** @throws EngineError SOURCE_LOST: nobody heard it, or the request goes on there */
  async commit(): Promise<void> {
    await this.request('POST', '/commit', NEVER);
  }

  /** @throws EngineError SOURCE_LOST: nobody heard it */
  async rollback(): Promise<void> {
    await this.request('POST', '/rollback', NEVER);
  }

  /** @throws EngineError SOURCE_LOST; the reason of the signal */
  private async ask(method: string, path: string, signal: AbortSignal): Promise<SourceState> {
    const text = await this.request(method, path, signal);
    const result = leaseState.safeParse(jsonOrUndefined(text));
    if (result.success) {
      this.version = result.data.version;
      return sourceStateOf(result.data, this.place);
    }
    throw this.lost(`answers with something else than the state of a lease (${result.error.issues[0]!.message})`);
  }

  private async request(method: string, path: string, signal: AbortSignal): Promise<string> {
    const { host, port, isTls, id, token } = this.place;
    const url = `${isTls ? 'https' : 'http'}://${host}:${port}/v1/kv/leases/${id}${path}`;
    for (let numTries = 1; ; numTries++) {
      const both = AbortSignal.any([signal, AbortSignal.timeout(this.timeoutMs)]);
      try {
        const headers = { authorization: `Bearer ${token}` };
        const answer = await fetch(url, { method, headers, signal: both, redirect: 'error' });
        const text = await boundedText(answer, MAX_ANSWER_BYTES);
        if (answer.ok) return text;
        throw this.lost(`answers ${answer.status} ${messageIn(text)}`);
      } catch (error) {
        if (signal.aborted) throw signal.reason as Error;
        if (error instanceof EngineError) throw error;
        if (numTries === NUM_TRIES) throw this.lost(`can't be reached (${causeText(error)})`, error);
      }
    }
  }

  private lost(what: string, cause?: unknown): EngineError {
    const { host, port } = this.place;
    const text = `the instance at ${host}:${port} that had this request ${what}; send it again`;
    return new EngineError('SOURCE_LOST', text, { cause });
  }
}

function sourceStateOf(message: LeaseStateMessage, { id, token }: LeasePlace): SourceState {
  const { place, identity, is_final: isFinal, seed } = message;
  const { shape: told } = identity;
  const shape = told && { numLayers: told.num_layers, dtype: told.dtype, rowBytes: told.row_bytes };
  return {
    ...{ lease: { id, token }, place, seed, isFinal, pausesItself: message.pauses_itself },
    identity: { ...identity, shape },
    numPromptTokens: message.num_prompt_tokens,
    promptDigest: message.prompt_digest,
    outputTokenIds: message.output_token_ids,
    numTokens: message.num_tokens,
    numExactTokens: message.num_exact_tokens,
  };
}
