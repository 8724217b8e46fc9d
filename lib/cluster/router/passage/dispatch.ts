/** From a request to the instances that answer it, leg by leg. */
import { ClusterError } from '../../base/errors.js';
import type { RouteLeg } from '../../base/routed_request.js';
import type { Route } from '../../routing/legs.js';
import { PromptKeys, type KnownPrompt } from '../../routing/prompt_keys.js';
import type { AskedRequest, RoutingTable } from '../../routing/routing_table.js';
import { ApiError } from '../../../server/base/api_error.js';
import { ROUTER_HEADER } from '../../../server/cluster/stream_notes.js';
import type { OfferedParams } from '../../../server/cluster/transfer_params.js';
import type { Upstream } from '../upstream/upstream.js';
import type { Upstreams } from '../upstream/upstreams.js';
import { spliced, type Asked, type Fields } from './asked.js';
import { Leg } from './leg.js';
import { requestHeaders } from './passed_headers.js';

/** What all requests have in common. */
export interface DispatchParts {
  readonly table: RoutingTable;
  readonly upstreams: Upstreams;
  /** What instances of ours are shown; null: what clients send. */
  readonly clusterKey: string | null;
  /** By the ids of instances: what these servers are shown. */
  readonly instanceKeys: ReadonlyMap<string, string>;
  /** Clients' keys are the router's own: no server of others sees them. */
  readonly hasKeys: boolean;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
}

/** What is known of a request besides its own words. */
export interface Placing {
  readonly model: string;
  readonly prompt: KnownPrompt;
  /** Null: it has none. */
  readonly session: string | null;
  /** Of the request in HTTP. */
  readonly httpId: string;
}

/** Which leg. */
export interface LegPlan {
  readonly instance: string;
  readonly leg: RouteLeg;
  /** To the body. */
  readonly added: Fields;
  /** Output tokens before those that it tells. */
  readonly position: number;
}

/** Sends one request to instances. */
export class Dispatch {
  /** Instances that failed it: it goes there no more. */
  private readonly except = new Set<string>();
  private readonly keys: PromptKeys;
  /** Of the weights that its first tokens came of; null: none came. */
  private fingerprint: string | null = null;
  /** With the output that is known, where it goes on. */
  private longer: PromptKeys | null = null;
  private numOutputTokens = 0;

  constructor(
    private readonly parts: DispatchParts,
    private readonly asked: Asked,
    private readonly placing: Placing,
  ) {
    this.keys = new PromptKeys(placing.prompt);
  }

  /** Of the prompt, as far as they are known. */
  get numPromptTokens(): number {
    return this.keys.numTokens;
  }

  /** Where it goes. @throws ApiError NO_INSTANCE, OVERLOADED, INTERNAL_ERROR */
  route(leg: 'whole' | 'decode'): Exclude<Route, { readonly kind: 'rejected' }> {
    const route = this.routeOf(leg);
    if (route.kind !== 'rejected') return route;
    const { reason, retryAfterMs } = route;
    const retryAfterS = Math.max(1, Math.ceil(retryAfterMs / 1000));
    throw new ApiError('OVERLOADED', `${reason}; try again in ${retryAfterS} s`, { retryAfterS });
  }

  /** Sends a leg. @throws ClusterError INSTANCE_LOST */
  send({ instance, leg, added, position }: LegPlan): Leg {
    const { table, upstreams, clock } = this.parts;
    const upstream = upstreams.get(instance);
    if (upstream === undefined) throw new ClusterError('INSTANCE_LOST', `instance ${instance} is gone; choose another`);
    const fields = withHolders(added, this.holdersFor(instance, added));
    const sent = this.asked.endpoint === null ? null : table.send(this.askedRequest, instance, leg, clock());
    const hasNotes = this.hasNotes(upstream);
    const { method, path, body } = this.asked;
    const whole = body !== null && Object.keys(fields).length > 0 ? spliced(body, fields) : body;
    const request = { method, path, headers: this.headersFor(upstream, hasNotes), body: whole };
    return new Leg(upstream, sent, { request, hasNotes, position });
  }

  /** It failed there. */
  avoid(instance: string): void {
    this.except.add(instance);
  }

  /** It goes on behind so much output: to the same weights, and again to anybody. */
  goOn(fingerprint: string | null, outputTokenIds: readonly number[]): void {
    const { prompt } = this.placing;
    this.fingerprint = fingerprint;
    this.except.clear();
    this.numOutputTokens = outputTokenIds.length;
    this.longer = 'tokens' in prompt ? new PromptKeys({ tokens: [...prompt.tokens, ...outputTokenIds] }) : null;
  }

  /** It can be told of by comments. */
  hasNotes({ record }: Upstream): boolean {
    return record.kind === 'own' && this.asked.endpoint !== null && !this.asked.isClients;
  }

  /** Where blocks of its prompt lie that the instance lacks: URLs. Why: docs/decisions/kv_store.md#the-router-names-who-has-a-prefix */
  private holdersFor(instance: string, { kv_transfer_params: params }: Fields): readonly string[] {
    const { endpoint, isClients } = this.asked;
    if (endpoint === null || isClients || (params as Partial<OfferedParams> | undefined)?.do_remote_prefill) return [];
    return this.parts.table.holders(this.askedRequest, instance).map(({ url }) => url);
  }

  private routeOf(leg: 'whole' | 'decode'): Route {
    const { table, clock } = this.parts;
    try {
      return table.route(this.askedRequest, clock(), leg);
    } catch (error) {
      if (error instanceof ClusterError && error.code === 'NO_INSTANCE') {
        throw new ApiError('NO_INSTANCE', error.text, { cause: error });
      }
      throw error;
    }
  }

  private get askedRequest(): AskedRequest {
    const { model, session } = this.placing;
    const { maxNewTokens, priority } = this.asked;
    const { except, fingerprint } = this;
    const rest = { priority, session, except, fingerprint, model };
    return {
      ...rest,
      prompt: this.longer ?? this.keys,
      maxNewTokens: Math.max(1, maxNewTokens - this.numOutputTokens),
    };
  }

  private headersFor(upstream: Upstream, hasNotes: boolean): Record<string, string | string[]> {
    const headers = requestHeaders(this.asked.headers, this.placing.httpId);
    const { clusterKey, instanceKeys, hasKeys } = this.parts;
    const isOwn = upstream.record.kind === 'own';
    const key = instanceKeys.get(upstream.id) ?? (isOwn && !this.asked.isClients ? clusterKey : null);
    if (key !== null) headers.authorization = `Bearer ${key}`;
    else if (!isOwn && hasKeys) delete headers.authorization;
    if (hasNotes) headers[ROUTER_HEADER] = '1';
    return headers;
  }
}

function withHolders(added: Fields, holders: readonly string[]): Fields {
  if (holders.length === 0) return added;
  return { ...added, kv_transfer_params: { ...(added.kv_transfer_params as Fields | undefined), holders } };
}
