/** One job from its start to its end: an undisturbed run of all requests, then the same ones under faults. */
import { setMaxListeners } from 'node:events';
import { closing } from '../../lib/commands/base/closing.js';
import { loadConfig } from '../../lib/config/load.js';
import { NO_LIMITS } from '../links/lane.js';
import { Load } from './load/load.js';
import { requestsOf } from './load/requests.js';
import { undisturbed } from './load/undisturbed.js';
import { faultRows, totalsOf, type FaultRow, type Totals } from './figures.js';
import type { ChaosOptions } from './options.js';
import { runFaults } from './run_faults.js';
import { Site, type SiteOptions } from './site.js';

/** What came of it. */
export interface Chaos {
  readonly rows: readonly FaultRow[];
  readonly totals: Totals;
}

/** How long the job may take to have everything again; where losses are masked it won't. */
const RECOVER_MS = { recover: 30_000, mask: 2000 };
/** What a loss that is noticed by a timeout takes, in timeouts: a rank's, and the others' word on it. */
const NOTICE_TIMEOUTS = 4;

/** Errors as those of `Engine.start`; what befalls the job later is told by its requests. */
export async function runChaos(
  options: ChaosOptions,
  how: Pick<SiteOptions, 'env' | 'onNotice' | 'signal'>,
): Promise<Chaos> {
  const { model, ranks, maxRanks, plan, seed, streams, timeoutMs } = options;
  const flags = { model, parallel: { ranks, max_ranks: maxRanks } };
  const config = await loadConfig({ flags, overrides: keysOf(options) });
  const signal = AbortSignal.any([how.signal]);
  setMaxListeners(0, signal); // a listener per request
  // Relays take time: only where links are to be cut.
  const limits = plan.some(({ kind }) => kind === 'cut' || kind === 'silence') ? NO_LIMITS : null;
  const site = await Site.start({ ...how, signal, config, limits });
  const { engine, watch } = site;
  return closing(
    () => site.close(),
    async () => {
      const { promptTokens, newTokens, requests: numRequests } = options;
      const shape = { seed, numRequests, promptTokens, newTokens };
      const requests = requestsOf(shape, engine.spec.vocabSize, engine.tokenizer);
      const expected = await undisturbed(engine, requests, streams, signal);
      const load = new Load(engine, requests, streams, signal);
      const patience = { lossMs: NOTICE_TIMEOUTS * timeoutMs + 1000, recoverMs: RECOVER_MS[options.onPeerLoss] };
      const befallen = await runFaults(plan, site, load, patience, signal);
      await load.stop();
      const seen = { befallen, answers: load.answers, expected, samples: watch.samples, losses: watch.losses };
      return { rows: faultRows(seen), totals: totalsOf(seen) };
    },
  );
}

/** Bits don't depend on which ranks compute what: that is what is looked at. */
const keysOf = ({ redundant, onPeerLoss, timeoutMs, seed, set }: ChaosOptions): string[] => [
  'comm.reduce=source',
  `comm.on_peer_loss=${onPeerLoss}`,
  `comm.timeout_ms=${timeoutMs}`,
  `experts.num_redundant_experts=${redundant}`,
  `engine.seed=${seed}`,
  ...set,
];
