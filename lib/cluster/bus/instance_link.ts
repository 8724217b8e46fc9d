/** Questions to one instance over HTTP; an answer that says nothing for too long is broken off by whoever counts the time. */
import { jsonOrUndefined } from '../../../base/foreign_text.js';
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

/** Of servers of others that want a key, or another one. */
const WANTS_KEY: ReadonlySet<number> = new Set([401, 403]);
/** Of servers that don't tell events: others, unless they say that they are of a cluster. */
const TELLS_NOTHING: ReadonlySet<number> = new Set([...WANTS_KEY, 404, 405]);
/** What our own say to who hasn't the cluster's key. */
const CLUSTER_ONLY = { status: 403, code: 'cluster_only' };

/** One instance. */
export class InstanceLink {
  /** It says that it is of a cluster: servers of others never see the cluster's key. */
  private wantsKey = false;

  constructor(private readonly options: InstanceLinkOptions) {}

  /** What an instance of our own tells, until it ends; null: it is a server of others. @throws ClusterError INSTANCE_LOST; what `fetch` throws, and the signal's reason */
  async events(signal: AbortSignal): Promise<Pieces | null> {
    const { clusterKey } = this.options;
    const answer = await this.get('/cluster/events', this.wantsKey ? clusterKey : null, signal);
    if (!TELLS_NOTHING.has(answer.status)) return this.piecesOf(answer, '', signal);
    if (!(await isOfCluster(answer, signal))) return null;
    if (!this.wantsKey && clusterKey !== null) {
      this.wantsKey = true;
      return this.events(signal);
    }
    throw this.refused(answer, 'it is of a cluster: give its key (EXPERTWIRE_CLUSTER_KEY)');
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
    throw this.refused({ status }, WANTS_KEY.has(status) ? ofKey : 'see what answers there');
  }

  private refused({ status }: Pick<Response, 'status'>, advice: string): ClusterError {
    const { id, url } = this.options;
    return new ClusterError('INSTANCE_LOST', `instance ${id} at ${url} answers ${status}; ${advice}`, { instance: id });
  }
}

/** Whether one of ours answers, who wants the cluster's key. */
async function isOfCluster({ status, body }: Response, signal: AbortSignal): Promise<boolean> {
  let text = '';
  for await (const piece of body?.pipeThrough(new TextDecoderStream(), { signal }) ?? []) {
    text += piece;
    if (text.length > MAX_MESSAGE_CHARS) break;
  }
  const { error } = (jsonOrUndefined(text) ?? {}) as { readonly error?: { readonly code?: unknown } | null };
  return status === CLUSTER_ONLY.status && error?.code === CLUSTER_ONLY.code;
}
