/** A request of one engine as another one of this process gets it: its offer, called as over a network, where calls can fail. */
import type { Engine } from '../../../lib/head/engine.js';
import type { Offer, OfferOptions } from '../../../lib/head/handover/offer.js';
import { OfferedStates } from '../../../lib/head/handover/offered_states.js';
import type { KvSource, SourceState } from '../../../lib/protocol/kv_source.js';

/** The calls of a source. */
export type SourceCall = keyof KvSource;

/** Between the two. */
export interface OfferedSourceOptions extends OfferOptions {
  /** Before a call arrives: what it throws is what the caller sees. Default: nothing is in the way. */
  readonly before?: (call: SourceCall, source: OfferedSource) => void | Promise<void>;
  /** What the target is told of a state. Default: as it is. */
  readonly told?: (state: SourceState) => SourceState;
}

export class OfferedSource implements KvSource {
  /** In their order. */
  readonly calls: SourceCall[] = [];
  offer: Offer | null = null;
  private last: SourceState | null = null;

  constructor(
    private readonly engine: Engine,
    private readonly id: string,
    private readonly options: OfferedSourceOptions = {},
  ) {}

  async open(): Promise<SourceState> {
    await this.call('open');
    const { pauseAfter } = this.options;
    this.offer = this.engine.offer(this.id, pauseAfter === undefined ? {} : { pauseAfter });
    return this.tell();
  }

  async more(numTokens: number, signal: AbortSignal): Promise<SourceState> {
    await this.call('more');
    const before = this.last!;
    for (;;) {
      const state = this.state();
      const isMore = state.numTokens >= numTokens;
      const isElsewhere = JSON.stringify(state.place) !== JSON.stringify(before.place);
      if (isMore || isElsewhere || (state.isFinal && !before.isFinal)) return this.tell();
      await this.offer!.changed(signal);
    }
  }

  async finish(signal: AbortSignal): Promise<SourceState> {
    await this.call('finish');
    await this.offer!.pause(signal);
    return this.tell();
  }

  async commit(): Promise<void> {
    await this.call('commit');
    this.offer!.commit();
  }

  async rollback(): Promise<void> {
    await this.call('rollback');
    this.offer?.rollback();
  }

  private async call(call: SourceCall): Promise<void> {
    this.calls.push(call);
    await this.options.before?.(call, this);
  }

  private tell(): SourceState {
    this.last = this.state();
    return this.last;
  }

  private state(): SourceState {
    const state = new OfferedStates(this.offer!, this.engine.kvIdentity).now;
    return this.options.told?.(state) ?? state;
  }
}
