/** What of sequences moves from one rank to another while somebody looks. */
import type { EngineObserver } from '../../lib/head/watchers.js';
import { BenchError } from '../base/errors.js';

/** A sequence that went on elsewhere. */
interface Moved {
  readonly sequence: number;
  readonly numTokens: number;
  readonly atMs: number;
}

/** Follows an engine. */
export class MoveWatch implements EngineObserver {
  /** Sequences in the order in which they were asked for. */
  readonly asked: number[] = [];
  /** Of each step beside which blocks went. */
  readonly bytes: number[] = [];
  private readonly moved: Moved[] = [];

  readonly request: NonNullable<EngineObserver['request']> = (news) => {
    if (news.kind === 'queued') this.asked.push(news.sequence);
    if (news.kind !== 'moved') return;
    const { sequence, numTokens } = news;
    this.moved.push({ sequence, numTokens, atMs: performance.now() });
  };

  readonly step: NonNullable<EngineObserver['step']> = ({ results }) => {
    const numBytes = results.reduce((sum, result) => sum + (result?.kv?.receivedBytes ?? 0), 0);
    if (numBytes > 0) this.bytes.push(numBytes);
  };

  /** The one that moved. @throws BenchError NOT_MOVED: none did, or several */
  only(): Moved {
    const [first] = this.moved;
    if (first !== undefined && this.moved.length === 1) return first;
    throw new BenchError('NOT_MOVED', `${this.moved.length} sequences moved, not one; run it again and report it`);
  }
}
