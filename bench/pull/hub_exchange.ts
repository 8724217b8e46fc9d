/** A hub's requests, and what its answers depend on. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HubModel } from './hub_model.js';
import type { BytesFault } from './sent_bytes.js';

/** A request that the hub had. */
export interface HubRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Whom it reached: the hub, or where large files lie. */
  readonly at: 'hub' | 'storage';
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** An answer instead of the right one. */
export interface HubFault extends BytesFault {
  /** Answer with this number and no more. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** And with this text. */
  readonly text?: string;
  /** Never answer. */
  readonly isSilent?: boolean;
}

/** What a hub has, and how it behaves. */
export interface HubOptions {
  readonly models: readonly HubModel[];
  /** Tokens that it knows; those that are `true` may read gated models, all of them private ones. */
  readonly tokens?: Readonly<Record<string, boolean>>;
  /** Entries of a page of a list of files. Default 1000. */
  readonly pageSize?: number;
  /** Asked before each answer; undefined: the right one. */
  readonly faultOf?: (request: HubRequest) => HubFault | undefined;
}

/** One request, with all that its answer depends on. */
export interface HubExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly fault: HubFault | undefined;
  readonly options: HubOptions;
  /** Addresses of the two servers. */
  readonly hub: string;
  readonly storage: string;
}
