/** A job whose ranks stay, asked everything once; then the same requests while its ranks become more and fewer. */
import { closing } from '../../lib/commands/base/closing.js';
import { loadConfig } from '../../lib/config/load.js';
import { Load } from '../chaos/load/load.js';
import { requestsOf } from '../chaos/load/requests.js';
import { undisturbed } from '../chaos/load/undisturbed.js';
import { Site, type SiteOptions } from '../chaos/site.js';
import { changeRows, totalsOf, type Change, type ChangeRow, type ScaleTotals } from './figures.js';
import type { ScaleOptions } from './options.js';
import { StepTimes } from './step_times.js';

/** What came of it. */
export interface ScaleRun {
  readonly rows: readonly ChangeRow[];
  readonly totals: ScaleTotals;
}

/** Errors as those of `Engine.start` and `Engine.scale`. */
export async function runScale(
  options: ScaleOptions,
  how: Pick<SiteOptions, 'env' | 'onNotice' | 'signal'>,
): Promise<ScaleRun> {
  const { model, sizes, rounds, spares, seed, streams, gapTokens } = options;
  const { signal } = how;
  const maxRanks = Math.max(...sizes) + spares;
  const flags = { model, parallel: { ranks: sizes[0]!, max_ranks: maxRanks } };
  const config = await loadConfig({ flags, overrides: keysOf(options) });
  const site = await Site.start({ ...how, config, limits: null });
  const { engine } = site;
  return closing(
    () => site.close(),
    async () => {
      const { promptTokens, newTokens, requests: numRequests } = options;
      const shape = { seed, numRequests, promptTokens, newTokens };
      const requests = requestsOf(shape, engine.spec.vocabSize, engine.tokenizer);
      const expected = await undisturbed(engine, requests, streams, signal);
      const times = new StepTimes();
      const unwatch = engine.watch(times);
      const load = new Load(engine, requests, streams, signal);
      const changes: Change[] = [];
      let quietFromMs = performance.now();
      for (let round = 0; round < rounds; round++) {
        for (const size of round === 0 ? sizes.slice(1) : sizes) {
          await load.tokens(gapTokens);
          const fromMs = performance.now();
          const scaled = await engine.scale(size, signal);
          const toMs = performance.now();
          changes.push({ scaled, fromMs, toMs, quietFromMs });
          quietFromMs = toMs;
        }
      }
      await load.tokens(gapTokens);
      await load.stop();
      unwatch();
      return { rows: changeRows(changes, times.all, load.answers), totals: totalsOf(load.answers, expected) };
    },
  );
}

/** Bits don't depend on which ranks compute what: that is what is looked at. */
const keysOf = ({ redundant, spares, seed, set }: ScaleOptions): string[] => [
  'comm.reduce=source',
  'comm.on_peer_loss=recover',
  `parallel.spare_ranks=${spares}`,
  `experts.num_redundant_experts=${redundant}`,
  `engine.seed=${seed}`,
  ...set,
];
