/** A job that faults can befall: an engine, the processes of its ranks, and the links between them. */
import type { ExpertwireConfig } from '../../lib/config/schema.js';
import type { Engine } from '../../lib/head/engine.js';
import type { Loss } from '../../lib/head/step_loop.js';
import type { LinkLimits } from '../links/lane.js';
import { startLinked, type LinkedEngine } from '../links/linked_engine.js';
import type { Relays } from '../links/relays.js';
import { Newcomers, type Newcomer } from './newcomers.js';
import { JobWatch } from './watch.js';

/** What is started. */
export interface SiteOptions {
  readonly config: ExpertwireConfig;
  /** Of links between ranks; null: they go straight, and can't be cut. */
  readonly limits: LinkLimits | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onNotice: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Owns all of it: {@link close} ends every process. */
export class Site {
  readonly engine: Engine;
  readonly relays: Relays | null;
  /** Newcomers that haven't joined yet. */
  numComing = 0;
  private readonly unwatch: () => void;

  /** The job runs, and its ranks see each other. Errors as those of `startLinked`. */
  static async start({ config, limits, env, onNotice, signal }: SiteOptions): Promise<Site> {
    const options = { config, onNotice, onRankLog: (_: number | null, line: string) => onNotice(line) };
    const linked = await startLinked(options, limits, signal);
    const onLoss = ({ lost }: Loss): void => lost.forEach(({ error }) => onNotice(error.message));
    linked.engine.watch({ loss: onLoss });
    const watch = new JobWatch(config.parallel.ranks, config.comm.on_peer_loss === 'recover');
    return new Site(linked, watch, new Newcomers(linked.secret, config.comm.tls, env));
  }

  private constructor(
    private readonly linked: LinkedEngine,
    readonly watch: JobWatch,
    private readonly newcomers: Newcomers,
  ) {
    ({ engine: this.engine, relays: this.relays } = linked);
    this.unwatch = this.engine.watch(watch);
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
    return this.newcomers.start(this.linked.door);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.unwatch();
    await this.engine.close();
    await this.newcomers.close();
    await this.linked.close();
  }
}
