/** Has prefixes that many ask for come to more instances: what it does, pure functions decide. Why: docs/decisions/kv_store.md#what-many-ask-for-lies-in-several-places */
import type { Logger } from 'pino';
import { causeText } from '../../../base/foreign_text.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { asBegun } from '../routing/pool/replication.js';
import type { BegunCopy, Copy } from '../routing/pool/replicas.js';
import type { RoutingTable } from '../routing/routing_table.js';
import type { InstanceCalls } from './instance_calls.js';
import type { Upstreams } from './upstream/upstreams.js';

/** What it takes. */
export interface ReplicatorParts {
  readonly config: Pick<ExpertwireConfig['router'], 'replication'>;
  readonly table: Pick<RoutingTable, 'copies'>;
  readonly upstreams: Pick<Upstreams, 'get'>;
  readonly calls: Pick<InstanceCalls, 'fetch'>;
  readonly clock: () => number;
  readonly log: Logger;
  /** Told of each copy: blocks of it that the instance has now; null: it failed. */
  readonly copied: (instance: string, numBlocks: number | null) => void;
}

/** A copy, and until when it isn't made again once it is over. */
interface Begun extends BegunCopy {
  readonly untilMs: number;
}

/** Looks again and again. */
export class Replicator {
  private readonly underway = new Map<Copy, Begun>();
  private recent: Begun[] = [];
  private readonly timer: NodeJS.Timeout | null;

  constructor(private readonly parts: ReplicatorParts) {
    const { enabled, interval_ms: intervalMs } = parts.config.replication;
    this.timer = enabled ? setInterval(() => this.look(), intervalMs) : null;
  }

  /** Begins what is to be copied now. */
  look(): void {
    const { table, clock } = this.parts;
    const nowMs = clock();
    this.recent = this.recent.filter(({ untilMs }) => untilMs > nowMs);
    for (const copy of table.copies([...this.underway.values(), ...this.recent], nowMs)) void this.carryOut(copy);
  }

  /** Nothing new begins. Idempotent. */
  close(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  private async carryOut(copy: Copy): Promise<void> {
    const { upstreams, calls, log, copied, clock, config } = this.parts;
    const upstream = upstreams.get(copy.to);
    if (upstream === undefined) return;
    const begun = asBegun(copy);
    this.underway.set(copy, { ...begun, untilMs: Infinity });
    const blocks = copy.keys.length;
    let state: BegunCopy['state'] = 'failed';
    try {
      const numBlocks = await calls.fetch(upstream, copy);
      state = 'done';
      copied(copy.to, numBlocks);
      log.info({ instance: copy.to, blocks, came: numBlocks }, 'a prefix that many ask for came to an instance');
    } catch (error) {
      copied(copy.to, null);
      log.warn({ instance: copy.to, blocks, why: causeText(error) }, 'a prefix that many ask for was not copied');
    }
    this.underway.delete(copy);
    this.recent.push({ ...begun, state, untilMs: clock() + config.replication.cool_down_ms });
  }
}
