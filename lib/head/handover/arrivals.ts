/** Requests that come from other instances to go on here. Why: docs/decisions/handover.md#one-way-for-all-that-moves-between-instances */
import type { ExpertwireConfig } from '../../config/schema.js';
import type { HandoverRunner } from '../../job/step_runner.js';
import type { KvIdentity, KvSource } from '../../protocol/kv_source.js';
import { Arrival, type ArrivalHost, type ArrivalLimits } from './arrival.js';
import { noArrivals, type ArrivalCounts } from './arrival_counts.js';
import { FollowedSource, type FollowedRequest } from './followed_source.js';
import { Pulls } from './pulls.js';

/** Who asks, and what it may take from its source. */
export interface ArrivingRequest extends FollowedRequest {
  readonly sequence: number;
  /** Nothing is asked of the tokens that come, so that they needn't be computed here. */
  readonly maySkipTokens: boolean;
}

/** What arrivals are made of. */
export interface ArrivalsParts {
  readonly job: Pick<HandoverRunner, 'handover' | 'watchPulls'>;
  readonly host: ArrivalHost & { fail(sequence: number, error: unknown): void };
  /** Null: nothing that another instance computed can be read. */
  readonly identity: KvIdentity | null;
  readonly config: ExpertwireConfig['cluster'];
  readonly blockSize: number;
}

/** Of one pull, before what it was to bring is computed anew. */
const MAX_TRIES = 3;

/** Brings requests here, one {@link Arrival} each. */
export class Arrivals {
  private readonly pulls: Pulls;
  private readonly limits: ArrivalLimits;
  private readonly counter = noArrivals();

  constructor(private readonly parts: ArrivalsParts) {
    const { config, blockSize } = parts;
    this.pulls = new Pulls(parts.job);
    const lastStageTokens = config.last_stage_blocks * blockSize;
    this.limits = { maxStages: config.max_stages, lastStageTokens, wire: config.kv_wire, maxTries: MAX_TRIES };
  }

  /** A copy. */
  get counts(): ArrivalCounts {
    return { ...this.counter };
  }

  /**
   * Follows a source; the sequence is queued next, as one that arrives, and {@link begin} brings it here.
   * @throws EngineError SOURCE_LOST: nothing is known but what the request says; the reason of `signal`
   */
  async open(source: KvSource, request: ArrivingRequest, signal: AbortSignal): Promise<FollowedSource> {
    const followed = await FollowedSource.open(source, request, signal);
    this.counter.numOpened++;
    return followed;
  }

  /** `request` was queued. */
  begin(request: ArrivingRequest, followed: FollowedSource): Arrival {
    const { sequence, promptTokenIds, maySkipTokens } = request;
    const { pulls, limits, counter: counts } = this;
    const { host, identity, config } = this.parts;
    const theirs = followed.state.identity;
    const isAlike = identity !== null && theirs.fingerprint === identity.fingerprint && isSameShape(theirs, identity);
    const isExact = limits.wire === 'f32' && identity?.sharing != null && theirs.sharing === identity.sharing;
    const { length: numPromptTokens } = promptTokenIds;
    const isLong = numPromptTokens >= config.stream_min_tokens;
    const isStreamed = config.kv_stream === 'on' || (config.kv_stream === 'auto' && isLong);
    const how = { canPull: isAlike && maySkipTokens, isExact, isStreamed };
    return new Arrival({ sequence, numPromptTokens, followed, host, pulls, limits, counts, ...how });
  }
}

function isSameShape({ shape: theirs }: KvIdentity, { shape: ours }: KvIdentity): boolean {
  return theirs !== null && ours !== null && theirs.numLayers === ours.numLayers && theirs.rowFloats === ours.rowFloats;
}
