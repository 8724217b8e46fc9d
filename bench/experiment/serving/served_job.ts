/** An engine behind HTTP, whose links may be slow and whose ranks may be killed, and what a load does to it. */
import { withLossPolicy } from '../../../lib/config/loss_policy.js';
import type { ExpertwireConfig } from '../../../lib/config/schema.js';
import { numSeatsOf } from '../../../lib/job/start/seats.js';
import { moeLayersOf } from '../../../lib/model/spec/spec.js';
import { createServer, type HttpServer } from '../../../lib/server/create_server.js';
import { createLog } from '../../../lib/server/telemetry/log.js';
import { Site } from '../../chaos/site.js';
import { snapshotOf, type Snapshot } from '../base/snapshot.js';
import { WatchedSteps } from '../base/watched_steps.js';
import { killPlan, type KillOptions } from './kill_plan.js';
import { Killer } from './killer.js';
import type { ServerReport, StartOrder } from './orders.js';
import { serverReport, type JobCounts } from './server_report.js';

/** What a loss that is noticed by a timeout takes, in timeouts: a rank's, and the others' word on it. */
const NOTICE_TIMEOUTS = 4;

/** What was seen when a measurement began. */
interface Begin {
  readonly snapshot: Snapshot;
  readonly counts: JobCounts;
  readonly steps: WatchedSteps;
  readonly unwatch: () => void;
  readonly killer: Killer | null;
}

/** Of one process. */
export class ServedJob {
  private measured: Begin | null = null;

  /** It listens. Errors as those of `Site.start` and `createServer`. */
  static async start({ config: asked, limits, env }: StartOrder, onNotice: (line: string) => void): Promise<ServedJob> {
    const config = withLossPolicy(servedHere(asked), numSeatsOf(asked, asked.parallel.ranks));
    const { signal } = new AbortController();
    const site = await Site.start({ config, limits, env, onNotice, signal });
    const log = createLog({ write: (line) => onNotice(line.trimEnd()) }, config.server.log_level);
    try {
      const server = await createServer(site.engine, { config, apiKeys: [], clusterKeys: [], log, env: {} });
      return new ServedJob(site, server, await server.listen(), config, onNotice);
    } catch (error) {
      await site.close();
      throw error;
    }
  }

  private constructor(
    private readonly site: Site,
    private readonly server: HttpServer,
    readonly url: string,
    private readonly config: ExpertwireConfig,
    private readonly onNotice: (line: string) => void,
  ) {}

  /** What is measured begins now. */
  async begin(kills: KillOptions | null): Promise<void> {
    const { engine } = this.site;
    const steps = new WatchedSteps(moeLayersOf(engine.spec).length, engine.numSeats);
    const unwatch = engine.watch(steps);
    const [snapshot, counts] = [await snapshotOf(engine), this.counts()];
    const noticeMs = NOTICE_TIMEOUTS * this.config.comm.timeout_ms;
    const killer = kills && new Killer(this.site, killPlan(kills), noticeMs, this.onNotice);
    this.measured = { snapshot, counts, steps, unwatch, killer };
  }

  /** What it came to. */
  async end(): Promise<ServerReport> {
    const { snapshot: before, counts, steps, unwatch, killer } = this.measured!;
    await killer?.stop();
    unwatch();
    const after = await snapshotOf(this.site.engine);
    const { losses, samples } = this.site.watch;
    return serverReport({
      ...{ before, after, steps, losses, samples },
      counts: { before: counts, after: this.counts() },
      kills: killer?.kills ?? [],
      numRanks: this.config.parallel.ranks,
    });
  }

  /** No prompt begins with what was computed before. */
  forget(): void {
    this.site.engine.resetPrefixCache();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.server.close();
    await this.site.close();
  }

  private counts(): JobCounts {
    const { watch } = this.site;
    return {
      numLost: watch.losses.reduce((sum, { ranks }) => sum + ranks.length, 0),
      numJoined: watch.numJoined,
      numRecomputed: watch.now().numRecomputed,
    };
  }
}

/** At a free port of this machine, for this run alone. */
const servedHere = (config: ExpertwireConfig): ExpertwireConfig => ({
  ...config,
  parallel: { ...config.parallel, head_grace_ms: 0 },
  server: {
    ...config.server,
    ...{ host: '127.0.0.1', port: 0, tls: { cert: null, key: null }, journal: null, record_dir: null },
    log_level: 'error',
  },
});
