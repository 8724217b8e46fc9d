/** A job that faults can befall: an engine, the processes of its ranks, and the links between them. */
import { randomBytes } from 'node:crypto';
import type { Address } from '../../comm/ws/door/dial.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import type { Loss } from '../../lib/head/step_loop.js';
import { Newcomers, type Newcomer } from './newcomers.js';
import { Relays } from './relay/relays.js';
import { JobWatch } from './watch.js';

/** What is started. */
export interface SiteOptions {
  readonly model: string;
  readonly ranks: number;
  readonly maxRanks: number;
  /** Further keys: 'comm.timeout_ms=1000'. */
  readonly set: readonly string[];
  /** Links go through relays, which takes time: only where they are to be cut. */
  readonly hasRelays: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onNotice: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Owns all of it: {@link close} ends every process. */
export class Site {
  /** Newcomers that haven't joined yet. */
  numComing = 0;
  private readonly unwatch: () => void;

  /** The job runs, and its ranks see each other. Errors as those of `Engine.start`; UsageError where relays can't read what ranks say. */
  static async start(options: SiteOptions): Promise<Site> {
    const { model, ranks, maxRanks, set, hasRelays, env, onNotice, signal } = options;
    const secret = randomBytes(32).toString('hex');
    const flags = { model, parallel: { ranks, max_ranks: maxRanks } };
    const config = await loadConfig({ flags, overrides: set });
    const { tls } = config.comm;
    if (hasRelays && tls.cert !== null) {
      throw new UsageError("--cut and --silence go through relays, which can't read TLS; leave them or comm.tls out");
    }
    const relays = hasRelays ? await Relays.open(signal) : null;
    const newcomers = new Newcomers(secret, tls, env);
    let head: Address = { host: '127.0.0.1', port: 0 };
    try {
      const engine = await Engine.start({
        ...{ config, secret, signal, onNotice, onRankLog: (_, line) => onNotice(line) },
        onListening: (address) => {
          head = address;
          relays?.tell({ kind: 'lead_to', head });
        },
        ...(relays !== null && { dialHead: relays.address }),
      });
      const onLoss = ({ lost }: Loss): void => lost.forEach(({ error }) => onNotice(error.message));
      engine.watch({ loss: onLoss });
      const watch = new JobWatch(ranks, config.comm.on_peer_loss === 'recover');
      return new Site(engine, watch, relays, newcomers, relays?.address ?? head);
    } catch (error) {
      await relays?.close();
      throw error;
    }
  }

  private constructor(
    readonly engine: Engine,
    readonly watch: JobWatch,
    readonly relays: Relays | null,
    private readonly newcomers: Newcomers,
    private readonly door: Address,
  ) {
    this.unwatch = engine.watch(watch);
  }

  /** Ranks that are there. */
  get members(): readonly number[] {
    return this.watch.now().members;
  }

  /** Of a rank that is there. */
  pidOf(rank: number): number {
    return this.engine.stats().loadReports[rank]!.pid;
  }

  /** A rank more, if the job takes it. */
  join(): Newcomer {
    return this.newcomers.start(this.door);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.unwatch();
    await this.engine.close();
    await this.newcomers.close();
    await this.relays?.close();
  }
}
