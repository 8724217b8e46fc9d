/** Questions to one instance over HTTP; an answer that says nothing for too long is broken off by whoever counts the time. */
import { ClusterError } from '../base/errors.js';
import { MAX_MESSAGE_CHARS } from './messages.js';

/** Where, and with which keys. */
export interface InstanceLinkOptions {
  readonly id: string;
  /** Without a path. */
  readonly url: string;
  /** For our own instances. Null: there is none. */
  readonly clusterKey: string | null;
  /** For servers of others. Null: there is none. */
  readonly apiKey: string | null;
}

/** Pieces of text as they come. */
export type Pieces = AsyncIterable<string>;

/** 403: others have an API key, routers one of their own. */
const WANTS_KEY: ReadonlySet<number> = new Set([401, 403]);

/** One instance. */
export class InstanceLink {
  /** It asked for the cluster's key: servers of others never see it. */
  private wantsKey = false;

  constructor(private readonly options: InstanceLinkOptions) {}

  /** What an instance of our own tells, until it ends; null: it is a server of others. @throws ClusterError INSTANCE_LOST; what `fetch` throws, and the signal's reason */
  async events(signal: AbortSignal): Promise<Pieces | null> {
    const { clusterKey } = this.options;
    const answer = await this.get('/cluster/events', this.wantsKey ? clusterKey : null, signal);
    if (WANTS_KEY.has(answer.status) && !this.wantsKey && clusterKey !== null) {
      await answer.body?.cancel();
      this.wantsKey = true;
      return this.events(signal);
    }
    if (answer.status !== 404)
      return this.piecesOf(answer, 'it is of a cluster: give its key (EXPERTWIRE_CLUSTER_KEY)', signal);
    await answer.body?.cancel();
    return null;
  }

  /** A server's list of models, as it is. Errors as those of {@link events}. */
  async models(signal: AbortSignal): Promise<string> {
    let text = '';
    const answer = await this.get('/v1/models', this.options.apiKey, signal);
    for await (const piece of this.piecesOf(answer, 'give it the key that its clients have', signal)) {
      text += piece;
      if (text.length > MAX_MESSAGE_CHARS) break; // what is there is no list
    }
    return text;
  }

  private get(path: string, key: string | null, signal: AbortSignal): Promise<Response> {
    const headers = key === null ? {} : { authorization: `Bearer ${key}` };
    return fetch(`${this.options.url}${path}`, { headers, signal, redirect: 'error' });
  }

  /** `ofKey`: what to do where it wants a key, or another one. */
  private piecesOf({ status, body }: Response, ofKey: string, signal: AbortSignal): Pieces {
    // `fetch` itself forgets its signal once the answer's head was collected as garbage: who follows for minutes would never end.
    if (status === 200 && body !== null) return body.pipeThrough(new TextDecoderStream(), { signal });
    void body?.cancel();
    const { id, url } = this.options;
    const advice = WANTS_KEY.has(status) ? ofKey : 'see what answers there';
    throw new ClusterError('INSTANCE_LOST', `instance ${id} at ${url} answers ${status}; ${advice}`, { instance: id });
  }
}
