/** How long outputs will be, by what came of requests before. Why: docs/decisions/cluster.md#lengths-are-predicted-from-what-came-before */
import type { LengthBucket } from '../base/routed_request.js';

/** What is known of a request before it runs. */
export interface LengthClues {
  readonly session: string | null;
  readonly numPromptTokens: number;
  readonly maxNewTokens: number;
}

/** Sessions that are remembered; the one that was quiet longest is forgotten. */
const MAX_SESSIONS = 4096;
/** What each further output leaves of the weight of earlier ones. */
const DECAY = 0.97;
/** Outputs, by weight, that a guess takes. */
const MIN_WEIGHT = 3;

/** Weights of outputs by bucket. */
type Histogram = number[];

/**
 * The bucket in which the median of outputs lies that had the same clues: of the session, else of prompts and limits of about the same length, else of all. The
 * first requests count as long as they may get.
 */
export class LengthPredictor {
  private readonly sessions = new Map<string, Histogram>();
  /** By magnitude of prompt and limit: a few hundred at most. */
  private readonly kinds = new Map<number, Histogram>();
  private readonly all: Histogram;

  /** @param bounds where one bucket ends and the next one begins, ascending */
  constructor(private readonly bounds: readonly number[]) {
    this.all = this.empty();
  }

  /** A guess. */
  predict({ session, numPromptTokens, maxNewTokens }: LengthClues): LengthBucket {
    const ofSession = session === null ? undefined : this.sessions.get(session);
    const candidates = [ofSession, this.kinds.get(kindOf(numPromptTokens, maxNewTokens)), this.all];
    const histogram = candidates.find((each) => each !== undefined && sum(each) >= MIN_WEIGHT);
    const bucket = histogram === undefined ? this.bucketOf(maxNewTokens) : medianOf(histogram);
    const { from, to } = this.rangeOf(bucket);
    return { from: Math.min(from, maxNewTokens), to: Math.min(to, maxNewTokens + 1) };
  }

  /** A request's output ended by itself, or at its limit, after so many tokens. */
  observe({ session, numPromptTokens, maxNewTokens }: LengthClues, numOutputTokens: number): void {
    const bucket = this.bucketOf(numOutputTokens);
    const kind = kindOf(numPromptTokens, maxNewTokens);
    const ofKind = this.kinds.get(kind) ?? this.empty();
    this.kinds.set(kind, ofKind);
    for (const histogram of [this.all, ofKind]) count(histogram, bucket);
    if (session === null) return;
    const ofSession = this.sessions.get(session) ?? this.empty();
    this.sessions.delete(session);
    this.sessions.set(session, ofSession);
    count(ofSession, bucket);
    for (const [first] of this.sessions) if (this.sessions.size > MAX_SESSIONS) this.sessions.delete(first);
  }

  private empty(): Histogram {
    return new Array<number>(this.bounds.length + 1).fill(0);
  }

  private bucketOf(numTokens: number): number {
    const bucket = this.bounds.findIndex((bound) => numTokens < bound);
    return bucket < 0 ? this.bounds.length : bucket;
  }

  private rangeOf(bucket: number): LengthBucket {
    return { from: bucket === 0 ? 0 : this.bounds[bucket - 1]!, to: this.bounds[bucket] ?? Infinity };
  }
}

const sum = (histogram: Histogram): number => histogram.reduce((a, b) => a + b, 0);

function count(histogram: Histogram, bucket: number): void {
  for (let i = 0; i < histogram.length; i++) histogram[i]! *= DECAY;
  histogram[bucket]!++;
}

function medianOf(histogram: Histogram): number {
  let left = sum(histogram) / 2;
  return histogram.findIndex((weight) => (left -= weight) <= 0);
}

const kindOf = (numPromptTokens: number, maxNewTokens: number): number =>
  64 * magnitudeOf(numPromptTokens) + magnitudeOf(maxNewTokens);
const magnitudeOf = (numTokens: number): number => Math.floor(Math.log2(Math.max(numTokens, 1)));
