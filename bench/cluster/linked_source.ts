/** A request of one engine as another one of this process goes on with it: its keys and values are read over a link that somebody else opened. */
import type { Address } from '../../comm/ws/door/dial.js';
import type { Engine } from '../../lib/head/engine.js';
import type { Offer } from '../../lib/head/handover/offer.js';
import { OfferedStates } from '../../lib/head/handover/offered_states.js';
import type { KvSource, SourceState } from '../../lib/protocol/kv_source.js';

/** What no network between heads delays. */
export class LinkedSource implements KvSource {
  private readonly offer: Offer;
  private readonly states: OfferedStates;
  private told: SourceState | null = null;

  /** @param link where the target reads, in the place of the rank itself */
  constructor(
    engine: Engine,
    id: string,
    private readonly link: Address,
  ) {
    this.offer = engine.offer(id);
    this.states = new OfferedStates(this.offer, engine.kvIdentity);
  }

  /** As {@link KvSource.open}. */
  open(): Promise<SourceState> {
    return Promise.resolve(this.tell());
  }

  /** As {@link KvSource.more}. */
  async more(numTokens: number, signal: AbortSignal): Promise<SourceState> {
    const wasFinal = this.told!.isFinal;
    for (;;) {
      const state = this.state();
      if (state.numTokens >= numTokens || (state.isFinal && !wasFinal)) return this.tell();
      await this.offer.changed(signal);
    }
  }

  /** As {@link KvSource.finish}. */
  async finish(signal: AbortSignal): Promise<SourceState> {
    await this.offer.pause(signal);
    return this.tell();
  }

  /** As {@link KvSource.commit}. */
  commit(): Promise<void> {
    this.offer.commit();
    return Promise.resolve();
  }

  /** As {@link KvSource.rollback}. */
  rollback(): Promise<void> {
    this.offer.rollback();
    return Promise.resolve();
  }

  private tell(): SourceState {
    return (this.told = this.state());
  }

  private state(): SourceState {
    const state = this.states.now;
    return { ...state, place: state.place && this.link };
  }
}
