/** What a server is made with. */
import type { Logger } from 'pino';
import type { ExpertwireConfig } from '../../config/schema.js';

/** Options of `createServer`. */
export interface ServerOptions {
  /** The section `server`, and the model's folder, whose name the model has where `server.served_model_name` is null. */
  readonly config: ExpertwireConfig;
  /** Who calls must have one of them. Default: none, and everybody may call. */
  readonly apiKeys?: readonly string[];
  /** Who has one of them is a router, or another instance of this cluster. Default: none, and those on this machine are. */
  readonly clusterKeys?: readonly string[];
  /** Default: nothing is logged. */
  readonly log?: Logger;
  /** Of the process: OpenTelemetry's variables say whether there are traces. Default: empty, no traces. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}
