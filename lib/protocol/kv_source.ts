/**
 * Where a request comes from that goes on here: a sequence that another instance offers, as the instance where it goes on sees it.
 * Why: docs/decisions/handover.md#one-way-for-all-that-moves-between-instances
 */
import { hash } from 'node:crypto';
import type { Address } from '../../comm/ws/door/dial.js';
import type { KvLease, KvShape } from './handover.js';

/** What an instance's keys and values are: between instances where this is equal, they may be read. */
export interface KvIdentity {
  /** Of the model: its configuration, its weights, and what plug-ins do to them. */
  readonly fingerprint: string;
  /** Null: some layers have states instead of keys and values, so that nothing is to be read, and all is computed anew. */
  readonly shape: KvShape | null;
  /**
   * Stands for all that the bits of keys and values depend on: where it is equal too, whoever begins alike may begin with what came (prefix_sharing.ts). Null:
   * sequences share nothing.
   */
  readonly sharing: string | null;
}

/** An offered sequence at a moment. */
export interface SourceState {
  readonly lease: KvLease;
  /** Where the rank listens that has it; null: none has at the moment, because it waits or its rank was lost. */
  readonly place: Address | null;
  readonly identity: KvIdentity;
  readonly numPromptTokens: number;
  /** {@link promptDigestOf} its prompt. */
  readonly promptDigest: string;
  /** That its tokens are drawn with. */
  readonly seed: number;
  /** All of its output so far. */
  readonly outputTokenIds: readonly number[];
  /** Its first tokens whose keys and values are there: all but the last one while it generates. */
  readonly numTokens: number;
  /** Those of them before the first one that lost an expert: no other sequence may share what is behind. */
  readonly numExactTokens: number;
  /** Nothing is added any more: it is paused, or it ended and its blocks are held. */
  readonly isFinal: boolean;
  /** It comes to that without {@link KvSource.finish}, which waits for it: behind its prompt, for instance. */
  readonly pausesItself: boolean;
}

/**
 * A sequence that another instance offers. From {@link open} to {@link commit} or {@link rollback} it keeps its lease; otherwise the sequence goes on there after a while. Every
 * call may reject: the source is gone, or the lease is over.
 */
export interface KvSource {
  /** Called once, first. */
  open(signal: AbortSignal): Promise<SourceState>;
  /**
   * Resolves when so many of its tokens are there, at once where they are; or when there is news beside what was told last: nothing is added any more, or it is elsewhere. It
   * may tell of more.
   */
  more(numTokens: number, signal: AbortSignal): Promise<SourceState>;
  /** Pauses it: what is told is final, until {@link commit}, {@link rollback} or the end of the lease. */
  finish(signal: AbortSignal): Promise<SourceState>;
  /** It goes on elsewhere: the source ends it as moved, and frees what it held. */
  commit(): Promise<void>;
  /** It goes on there, as if nobody had asked. */
  rollback(): Promise<void>;
}

/** Of a prompt: both ends of a handover mean the same one. */
export const promptDigestOf = (tokenIds: readonly number[]): string =>
  hash('sha256', Buffer.from(Int32Array.from(tokenIds).buffer), 'hex');
