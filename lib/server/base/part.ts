/** What a server is made of: parts, each with routes and hooks of its own, over one context. */
import type {
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { FastifyBaseLogger } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { TokenizerThread } from '../../tokenizer/tokenizer_thread.js';
import type { ServedEngine } from './served_engine.js';

/** The web framework's application; bodies and queries of routes have the types of their zod schemas. */
export type ServerApp = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** What every part of the server sees. */
export interface ServerContext {
  readonly engine: ServedEngine;
  readonly config: ExpertwireConfig;
  /** Encodes what would hold up everybody. */
  readonly longTexts: TokenizerThread;
  /** The name of the model in requests and answers. */
  readonly modelName: string;
  /** When the server was made, in seconds since 1970. */
  readonly createdS: number;
  readonly log: Logger;
  /** Of the process. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted when the server begins to drain: new requests but GET are refused, and streams without an end of their own end. */
  readonly draining: AbortSignal;
  /** Aborted when whatever still runs is broken off; its reason is the ApiError that clients are told. */
  readonly ending: AbortSignal;
}

/** Adds routes and hooks: of one concern, in a folder of its own. Hooks hold for the routes of all parts that come later. */
export type ServerPart = (app: ServerApp, context: ServerContext) => void | Promise<void>;

/**
 * Who may use a route, by `config: { access }`. `key`, the default: who has an API key, where there are any. `open`: everybody. `local`: who has a key, and
 * without any keys clients of this machine alone, who call it by a name of loopback. `cluster`: who has the cluster key, and without one clients of this machine
 * alone. Who has the cluster key may use all of them.
 */
export type Access = 'key' | 'open' | 'local' | 'cluster';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    /** Taken while the server drains too: it helps what runs to end, here or elsewhere. Default false. */
    isForDraining?: boolean;
  }
}
