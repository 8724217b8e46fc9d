/** An offered request as whoever is to go on with it sees it over HTTP. */
import { timingSafeEqual } from 'node:crypto';
import type { Offer } from '../../head/handover/offer.js';
import { OfferedStates } from '../../head/handover/offered_states.js';
import type { KvIdentity } from '../../protocol/kv_source.js';
import type { LeaseStateMessage } from './lease_messages.js';
import type { OfferedParams } from './transfer_params.js';

/** Where this instance is for others, and what it is called. */
export type InstancePlace = Pick<OfferedParams, 'remote_engine_id' | 'remote_host' | 'remote_port' | 'remote_tls'>;

/** One offer, whose states are numbered. */
export class Lease {
  private version = -1;
  private text = '';
  private readonly states: OfferedStates;
  /** Null: nothing was. */
  private told: LeaseStateMessage | null = null;

  constructor(
    private readonly requestId: string,
    readonly offer: Offer,
    identity: KvIdentity,
    private readonly blockSize: number,
  ) {
    this.states = new OfferedStates(offer, identity);
  }

  /** Whether that is its token; takes as long for every one. */
  isToken(token: string): boolean {
    const [own, given] = [Buffer.from(this.offer.lease.token), Buffer.from(token)];
    return own.length === given.length && timingSafeEqual(own, given);
  }

  /** What goes to the target in its request. @throws EngineError LEASE_OVER */
  params(place: InstancePlace): OfferedParams {
    const { numTokens, sampling } = this.offer.state();
    const { id, token } = this.offer.lease;
    return {
      ...{ do_remote_prefill: true, do_remote_decode: false, ...place, remote_request_id: this.requestId },
      remote_block_ids: [...Array(Math.ceil(numTokens / this.blockSize)).keys()],
      ...{ tp_size: 1, lease_id: id, lease_token: token, seed: sampling.seed },
    };
  }

  /** How far it is. @throws EngineError LEASE_OVER */
  state(): LeaseStateMessage {
    const { place, identity, numPromptTokens, promptDigest, seed, outputTokenIds, ...rest } = this.states.now;
    const { fingerprint, shape, sharing } = identity;
    const state = {
      place,
      identity: {
        ...{ fingerprint, sharing },
        shape: shape && { num_layers: shape.numLayers, dtype: shape.dtype, row_bytes: shape.rowBytes },
      },
      ...{ num_prompt_tokens: numPromptTokens, prompt_digest: promptDigest, seed },
      ...{ output_token_ids: [...outputTokenIds], num_tokens: rest.numTokens },
      num_exact_tokens: rest.numExactTokens,
      ...{ is_final: rest.isFinal, pauses_itself: rest.pausesItself },
    };
    const text = JSON.stringify(state);
    if (text !== this.text) this.version++;
    this.text = text;
    this.told = { version: this.version, ...state };
    return this.told;
  }

  /**
   * Waits until it has so many tokens, or there is news for one who has the state numbered `after`: it is final, is in another place, or what was told last is
   * another state; or `signal` is aborted. @throws EngineError LEASE_OVER
   */
  async news(after: number, numTokens: number, signal: AbortSignal): Promise<LeaseStateMessage> {
    const known = this.told;
    for (;;) {
      const state = this.state();
      const isNew = known?.version !== after || state.is_final !== known.is_final || !isSame(state.place, known.place);
      if (state.num_tokens >= numTokens || isNew || signal.aborted) return state;
      await this.offer.changed(signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
  }
}

const isSame = (a: LeaseStateMessage['place'], b: LeaseStateMessage['place']): boolean =>
  a?.host === b?.host && a?.port === b?.port;
