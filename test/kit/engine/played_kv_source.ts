/** A sequence of another instance whose steps are made by hand, and whose calls answer when the test says so, or fail. */
import type { KvIdentity, KvSource, SourceState } from '../../../lib/protocol/kv_source.js';
import { promptDigestOf } from '../../../lib/protocol/kv_source.js';
import type { SequenceRequest } from '../../../lib/head/scheduling/scheduler.js';
import { sampledToken } from './scheduling.js';

/** Of the instances of a test. */
export const IDENTITY: KvIdentity = {
  fingerprint: 'a model',
  shape: { numLayers: 2, dtype: 'f32', rowBytes: 16 },
  sharing: 'alike',
};

/** What a sequence samples at a position, wherever it runs: a token as a source may tell of it. */
export const generatedToken = (sequence: number, position: number): number => 1e6 - sampledToken(sequence, position);

/** How a call of a source fails, or never answers. */
export type SourceFault = 'fails' | 'hangs';

export class PlayedKvSource implements KvSource {
  /** In their order. */
  readonly calls: (keyof KvSource)[] = [];
  /** May be set: what becomes of the next call of that name. */
  readonly faults = new Map<keyof KvSource, SourceFault>();
  /** May be set: it is gone. */
  isGone = false;
  /** May be set. */
  identity: KvIdentity = IDENTITY;
  isPaused = false;
  end: 'committed' | 'rolled_back' | null = null;
  /** Where it can be read; null: nowhere. */
  port: number | null = 1;
  /** The first token that lost an expert. */
  firstDegraded = Infinity;
  /** It will pause without being asked: a test says when. */
  pausesItself = false;
  private told: SourceState | null = null;
  private readonly waiting = new Set<() => void>();

  /** `numTokens`: computed; `numOutputs`: tokens of output that came of them. */
  constructor(
    private readonly request: Pick<SequenceRequest, 'sequence' | 'promptTokenIds'>,
    public numTokens = 0,
    public numOutputs = 0,
  ) {}

  /** It computes so many tokens more: of its prompt first, and each one behind that samples another. */
  advance(count: number): void {
    if (this.isPaused || this.end !== null) return;
    for (let i = 0; i < count; i++) {
      this.numTokens++;
      if (this.numTokens >= this.request.promptTokenIds.length) this.numOutputs++;
    }
    this.news();
  }

  /** Something was set. */
  news(): void {
    for (const wake of [...this.waiting]) wake();
  }

  get outputTokenIds(): number[] {
    const { sequence, promptTokenIds } = this.request;
    return Array.from({ length: this.numOutputs }, (_, i) => generatedToken(sequence, promptTokenIds.length + i));
  }

  open(signal: AbortSignal): Promise<SourceState> {
    return this.answer('open', signal, () => true);
  }

  more(numTokens: number, signal: AbortSignal): Promise<SourceState> {
    const { told } = this;
    return this.answer('more', signal, (state) => {
      const isElsewhere = state.place?.port !== told!.place?.port;
      const isMore = state.numTokens >= numTokens;
      return isMore || isElsewhere || (state.isFinal && !told!.isFinal);
    });
  }

  finish(signal: AbortSignal): Promise<SourceState> {
    return this.answer('finish', signal, () => {
      this.isPaused = true;
      return true;
    });
  }

  commit(): Promise<void> {
    return this.close('commit', 'committed');
  }

  rollback(): Promise<void> {
    return this.close('rollback', 'rolled_back');
  }

  private close(call: 'commit' | 'rollback', end: 'committed' | 'rolled_back'): Promise<void> {
    this.calls.push(call);
    if (this.isGone || this.faults.delete(call)) return Promise.reject(new Error(`${call} failed`));
    this.end = end;
    return Promise.resolve();
  }

  private async answer(
    call: keyof KvSource,
    signal: AbortSignal,
    isTime: (state: SourceState) => boolean,
  ): Promise<SourceState> {
    this.calls.push(call);
    const fault = this.faults.get(call);
    this.faults.delete(call);
    if (fault === 'fails') throw new Error(`${call} failed`);
    await Promise.resolve();
    for (;;) {
      signal.throwIfAborted();
      if (this.isGone) throw new Error('the source is gone');
      if (fault !== 'hangs' && isTime(this.state())) return (this.told = this.state());
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.waiting.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.waiting.add(wake);
        signal.addEventListener('abort', wake);
      });
    }
  }

  private state(): SourceState {
    const { numTokens, identity, outputTokenIds } = this;
    const { promptTokenIds } = this.request;
    return {
      lease: { id: 'a lease', token: 'a token' },
      place: this.port === null ? null : { host: 'source', port: this.port },
      ...{ identity, outputTokenIds, numTokens, seed: 0 },
      ...{ isFinal: this.isPaused, pausesItself: this.pausesItself },
      numPromptTokens: promptTokenIds.length,
      promptDigest: promptDigestOf(promptTokenIds),
      numExactTokens: Math.min(numTokens, this.firstDegraded),
    };
  }
}
