/** One instance as the router deals with it: how to ask it, and what runs there for this router. */
import { UpstreamClient, type ClientLimits } from './upstream_client.js';

/** An instance. */
export class Upstream {
  readonly client: UpstreamClient;

  constructor(
    readonly id: string,
    readonly url: string,
    limits: ClientLimits,
  ) {
    this.client = new UpstreamClient(url, limits);
  }

  /** Breaks off what runs. Idempotent. */
  close(): Promise<void> {
    return this.client.close();
  }
}
