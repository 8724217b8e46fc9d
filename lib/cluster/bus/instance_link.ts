/** Questions to one instance over HTTP; an answer that says nothing for too long is broken off by whoever counts the time. */
import { ClusterError } from '../base/errors.js';
import { CHALLENGE_HEADER, isProofOf, newChallenge, PROOF_HEADER } from '../base/key_proof.js';
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
const CLUSTER_ADVICE = 'it is of a cluster: give its key (EXPERTWIRE_CLUSTER_KEY)';

/** One instance. */
export class InstanceLink {
  constructor(private readonly options: InstanceLinkOptions) {}

  /**
   * What an instance of our own tells, until it ends; null: it is a server of others. The cluster's key is sent only to who just proved to have it.
   * Why: docs/decisions/cluster.md#the-key-goes-to-who-has-it
   * @throws ClusterError INSTANCE_LOST; what `fetch` throws, and the signal's reason
   */
  async events(signal: AbortSignal): Promise<Pieces | null> {
    const { clusterKey } = this.options;
    const challenge = newChallenge();
    const answer = await this.get('/cluster/events', { [CHALLENGE_HEADER]: challenge }, signal);
    const proofs = answer.headers.get(PROOF_HEADER);
    const isProved = clusterKey !== null && isProofOf(proofs, clusterKey, challenge);
    if (WANTS_KEY.has(answer.status) && isProved) {
      await answer.body?.cancel();
      return this.piecesOf(await this.get('/cluster/events', bearer(clusterKey), signal), CLUSTER_ADVICE, signal);
    }
    if (answer.status === 200 && clusterKey !== null && !isProved) throw this.unproved(answer);
    const isForeign =
      answer.status === 404 || answer.status === 405 || (WANTS_KEY.has(answer.status) && proofs === null);
    if (!isForeign) return this.piecesOf(answer, CLUSTER_ADVICE, signal);
    await answer.body?.cancel();
    return null;
  }

  /** A server's list of models, as it is. Errors as those of {@link events}. */
  async models(signal: AbortSignal): Promise<string> {
    let text = '';
    const answer = await this.get('/v1/models', bearer(this.options.apiKey), signal);
    for await (const piece of this.piecesOf(answer, 'give it the key that its clients have', signal)) {
      text += piece;
      if (text.length > MAX_MESSAGE_CHARS) break; // what is there is no list
    }
    return text;
  }

  private get(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Response> {
    return fetch(`${this.options.url}${path}`, { headers, signal, redirect: 'error' });
  }

  /** It tells as one of ours does, but requests of this cluster would bring it the key. */
  private unproved({ body }: Response): ClusterError {
    void body?.cancel();
    const { id, url } = this.options;
    const text = `instance ${id} at ${url} doesn't have the key of this cluster; start it with the same one (EXPERTWIRE_CLUSTER_KEY)`;
    return new ClusterError('INSTANCE_LOST', text, { instance: id });
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

const bearer = (key: string | null): Readonly<Record<string, string>> =>
  key === null ? {} : { authorization: `Bearer ${key}` };
