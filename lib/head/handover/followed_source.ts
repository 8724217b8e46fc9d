/** A source as who follows it sees it: what it says is checked, and one that says what can't be is as if it were gone. */
import { causeText } from '../../../base/foreign_text.js';
import { EngineError } from '../../protocol/errors.js';
import { promptDigestOf, type KvSource, type SourceState } from '../../protocol/kv_source.js';

/** Whose source it is to be. */
export interface FollowedRequest {
  readonly promptTokenIds: readonly number[];
  /** Of its output, those that are known in any case. */
  readonly outputTokenIds: readonly number[];
  readonly maxNewTokens: number;
  /** Null: the source's. */
  readonly seed: number | null;
  readonly vocabSize: number;
}

/** Tells of a sequence that another instance offers. */
export class FollowedSource {
  private last!: SourceState;
  private hadPlace = false;
  private known: readonly number[];

  private constructor(
    private readonly source: KvSource,
    private readonly request: FollowedRequest,
  ) {
    this.known = request.outputTokenIds;
  }

  /** @throws EngineError SOURCE_LOST: it is gone, or says what can't be; the reason of `signal` */
  static async open(source: KvSource, request: FollowedRequest, signal: AbortSignal): Promise<FollowedSource> {
    const followed = new FollowedSource(source, request);
    await followed.hear(() => source.open(signal), signal);
    return followed;
  }

  /** What it said last. */
  get state(): SourceState {
    return this.last;
  }

  /** A rank had it at some time. */
  get wasPlaced(): boolean {
    return this.hadPlace;
  }

  /** Of its output, all that is known, up to the most that the request can have. */
  get outputTokenIds(): readonly number[] {
    return this.known;
  }

  /** As {@link KvSource.more}. Throws as {@link open}. */
  async more(numTokens: number, signal: AbortSignal): Promise<void> {
    await new Promise(setImmediate); // however fast it answers, others have their turn
    await this.hear(() => this.source.more(numTokens, signal), signal);
  }

  /** As {@link KvSource.finish}. Throws as {@link open}. */
  async finish(signal: AbortSignal): Promise<void> {
    await this.hear(() => this.source.finish(signal), signal);
    if (!this.last.isFinal) throw lost('it goes on, though it was to pause');
  }

  /** It goes on here; nobody waits for the source to hear it. */
  commit(): void {
    this.source.commit().catch(() => undefined); // its lease runs out
  }

  /** It goes on there. */
  rollback(): void {
    this.source.rollback().catch(() => undefined);
  }

  private async hear(call: () => Promise<SourceState>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    let stop!: () => void;
    const stopped = new Promise<never>((_, reject) => (stop = () => reject(signal.reason as Error)));
    signal.addEventListener('abort', stop);
    try {
      this.take(await Promise.race([call(), stopped]));
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof EngineError && error.code === 'SOURCE_LOST' ? error : lost(causeText(error), error);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  private take(state: SourceState): void {
    const { request, known } = this;
    const { outputTokenIds, numTokens, numPromptTokens, promptDigest, seed } = state;
    const isSame = numPromptTokens === request.promptTokenIds.length && seed === (request.seed ?? seed);
    if (!isSame || promptDigest !== this.digest) throw lost('it has another prompt or seed');
    const numCommon = Math.min(known.length, outputTokenIds.length);
    if (!outputTokenIds.slice(0, numCommon).every((tokenId, i) => tokenId === known[i]))
      throw lost('it has other tokens');
    const isToken = (tokenId: number): boolean =>
      Number.isInteger(tokenId) && tokenId >= 0 && tokenId < request.vocabSize;
    if (!outputTokenIds.slice(numCommon).every(isToken)) throw lost('it has tokens that the model lacks');
    if (!(numTokens >= 0 && numTokens <= numPromptTokens + outputTokenIds.length))
      throw lost('it has more keys than tokens');
    this.last = state;
    this.hadPlace ||= state.place !== null;
    if (outputTokenIds.length > known.length) this.known = outputTokenIds.slice(0, request.maxNewTokens);
  }

  private get digest(): string {
    return promptDigestOf(this.request.promptTokenIds);
  }
}

const lost = (why: string, cause?: unknown): EngineError =>
  new EngineError(
    'SOURCE_LOST',
    `the instance that has this request can't be followed: ${why}; send it again with the tokens that came of it`,
    { cause },
  );
