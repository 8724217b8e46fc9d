/** Requests that come from other instances to go on here. Why: docs/decisions/handover.md#one-way-for-all-that-moves-between-instances */
import { isDeepStrictEqual } from 'node:util';
import type { ExpertwireConfig } from '../../config/schema.js';
import { EngineError } from '../../protocol/errors.js';
import type { KvIdentity, KvSource } from '../../protocol/kv_source.js';
import { maySkipTokens } from '../scheduling/progress.js';
import type { SequenceRequest } from '../scheduling/scheduler.js';
import { Arrival, type ArrivalHost, type ArrivalLimits } from './arrival.js';
import { noArrivals, type ArrivalCounts } from './arrival_counts.js';
import { FollowedSource, type FollowedRequest } from './followed_source.js';
import type { Pulls } from './pulls.js';

/** What arrivals are made of. */
export interface ArrivalsParts {
  readonly pulls: Pulls;
  readonly host: ArrivalHost;
  /** What can be read here of what other instances computed. */
  readonly identity: KvIdentity;
  readonly config: ExpertwireConfig['cluster'];
  readonly blockSize: number;
  /** How long a rank may say nothing. */
  readonly timeoutMs: number;
}

/** Of one pull, before what it was to bring is computed anew. */
const MAX_TRIES = 3;
/** That a link brings in any case, where it isn't broken: 1 MiB/s. */
const SLOWEST_BYTES_PER_MS = 1048;

/** Brings requests here, one {@link Arrival} each. */
export class Arrivals {
  private readonly limits: ArrivalLimits;
  private readonly counter = noArrivals();
  private readonly ended = new AbortController();

  constructor(private readonly parts: ArrivalsParts) {
    const { config, blockSize, identity, timeoutMs } = parts;
    const lastStageTokens = config.last_stage_blocks * blockSize;
    const { numLayers = 0, rowBytes = 0, dtype = 'f32' } = identity.shape ?? {};
    const msPerToken = (numLayers * rowBytes) / SLOWEST_BYTES_PER_MS;
    const pullMs = (numTokens: number): number => timeoutMs + numTokens * msPerToken;
    const { max_stages: maxStages } = config;
    const wire = dtype === 'f32' ? config.kv_wire : dtype;
    this.limits = { maxStages, lastStageTokens, wire, maxTries: MAX_TRIES, pullMs };
  }

  /** A copy. */
  get counts(): ArrivalCounts {
    return { ...this.counter };
  }

  /**
   * Follows a source; the sequence is queued next, as one that arrives, and {@link arrivalOf} brings it here.
   * @throws EngineError SOURCE_LOST: nothing is known but what the request says; CLOSED
   */
  async follow(source: KvSource, request: FollowedRequest, caller?: AbortSignal): Promise<FollowedSource> {
    const ended = this.ended.signal;
    const signal = caller === undefined ? ended : AbortSignal.any([caller, ended]);
    try {
      const followed = await FollowedSource.open(source, request, signal);
      this.counter.numOpened++;
      return followed;
    } catch (error) {
      ended.throwIfAborted();
      if (caller?.aborted === true) throw new EngineError('CLOSED', 'the request was cancelled by its caller');
      throw error;
    }
  }

  /** Nobody comes any more. */
  fail(error: Error): void {
    this.ended.abort(error);
  }

  /** For who follows a source: it is queued with this, and starts it then. */
  arrivalOf(request: SequenceRequest, followed: FollowedSource): Arrival {
    const { sequence, promptTokenIds } = request;
    const { limits, counter: counts } = this;
    const { pulls } = this.parts;
    const { host, identity, config } = this.parts;
    const theirs = followed.state.identity;
    const isAlike = theirs.fingerprint === identity.fingerprint && isSameShape(theirs, identity);
    const isExact =
      limits.wire === identity.shape?.dtype && identity.sharing !== null && theirs.sharing === identity.sharing;
    const { length: numPromptTokens } = promptTokenIds;
    const isLong = numPromptTokens >= config.stream_min_tokens;
    const isStreamed = config.kv_stream === 'on' || (config.kv_stream === 'auto' && isLong);
    const how = { canPull: isAlike && maySkipTokens(request), isExact, isStreamed };
    return new Arrival({ sequence, numPromptTokens, followed, host, pulls, limits, counts, ...how });
  }
}

const isSameShape = ({ shape: theirs }: KvIdentity, { shape: ours }: KvIdentity): boolean =>
  theirs !== null && ours !== null && isDeepStrictEqual(theirs, ours);
