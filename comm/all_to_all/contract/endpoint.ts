/** What both modes of the all-to-all offer beside dispatch and combine: their mask and what they counted. */
import type { AllToAllStats, PeerMask, SentBytes } from './all_to_all_contract.js';
import type { Exchange } from '../exchange/exchange.js';
import type { Rank } from '../../../base/ids.js';

export abstract class Endpoint implements PeerMask {
  protected readonly exchange: Exchange;
  protected numDegradedTokens = 0;

  protected constructor(exchange: Exchange) {
    this.exchange = exchange;
  }

  maskedRanks(): readonly Rank[] {
    return this.exchange.mask.ranks();
  }

  maskRank(rank: Rank): void {
    this.exchange.mask.add(rank);
  }

  clearMask(rank?: Rank): void {
    this.exchange.mask.delete(rank);
  }

  stats(): AllToAllStats {
    const { mesh, stats } = this.exchange;
    return { rank: mesh.rank, traffic: stats.snapshot(), numDegradedTokens: this.numDegradedTokens };
  }

  sentBytes(): SentBytes {
    const { stats } = this.exchange;
    return { dispatch: stats.bytes('dispatch'), combine: stats.bytes('combine') };
  }

  waitedMs(): readonly number[] {
    return this.exchange.stats.waitMs();
  }
}
