/** What whoever goes on with an offered request sees of it, over whatever way. */
import { promptDigestOf, type KvIdentity, type SourceState } from '../../protocol/kv_source.js';
import type { Offer } from './offer.js';

/** The states of one offer of an engine with this identity. */
export class OfferedStates {
  /** A prompt may be long, and stays. */
  private promptDigest: string | null = null;

  constructor(
    private readonly offer: Offer,
    private readonly identity: KvIdentity,
  ) {}

  /** At this moment. @throws EngineError LEASE_OVER */
  get now(): SourceState {
    const { offer, identity } = this;
    const { promptTokenIds, outputTokenIds, sampling, numTokens, numExactTokens, isPaused, isOver, pausesItself } =
      offer.state();
    const promptDigest = (this.promptDigest ??= promptDigestOf(promptTokenIds));
    return {
      ...{ lease: offer.lease, place: offer.place(), identity, outputTokenIds, numTokens, numExactTokens },
      ...{ numPromptTokens: promptTokenIds.length, promptDigest, seed: sampling.seed },
      ...{ isFinal: isPaused || isOver, pausesItself },
    };
  }
}
