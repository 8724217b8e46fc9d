/** Requests that came from other instances, and what was read there for them. */
import type { EngineStats } from '../../head/engine.js';
import type { SeriesMaker, Total } from './series.js';

/** Reads what the engine counted when it is asked to. */
export class ArrivalMetrics {
  private readonly arrived: Total;
  private readonly tokens: Total;
  private readonly bytes: Total;
  private readonly pulls: Total<'outcome'>;
  private readonly troubles: Total<'trouble'>;

  constructor(make: SeriesMaker) {
    this.arrived = make.total(
      'expertwire:arrived_requests_total',
      'Requests that went on here with keys and values of another instance.',
    );
    this.tokens = make.total('expertwire:arrived_tokens_total', 'Tokens whose keys and values came with them.');
    this.bytes = make.total('expertwire:pulled_bytes_total', 'Bytes of keys and values that came for them.');
    this.pulls = make.total(
      'expertwire:pulls_total',
      'Reads from ranks of other instances, by outcome: done, failed.',
      'outcome',
    );
    this.troubles = make.total(
      'expertwire:arrival_troubles_total',
      'Requests whose source was lost, that were computed anew, or that were given up on their way here (rolled_back).',
      'trouble',
    );
  }

  /** Takes over what the engine counted. */
  update({ numArrived, numArrivedTokens, arrivals }: EngineStats): void {
    this.arrived.set(numArrived);
    this.tokens.set(numArrivedTokens);
    this.bytes.set(arrivals.pulledBytes);
    this.pulls.setAll([
      [{ outcome: 'done' }, arrivals.numPulls],
      [{ outcome: 'failed' }, arrivals.numFailedPulls],
    ]);
    this.troubles.setAll([
      [{ trouble: 'source_lost' }, arrivals.numLostSources],
      [{ trouble: 'recomputed' }, arrivals.numRecomputed],
      [{ trouble: 'rolled_back' }, arrivals.numRolledBack],
    ]);
  }
}
