/**
 * A sequence goes on in another instance: a rank there reads its keys and values from the rank here that computes it, or did.
 * Why: docs/decisions/handover.md#one-way-for-all-that-moves-between-instances
 */
import type { Address } from '../../comm/ws/door/dial.js';
import type { RemoteError } from '../../comm/base/errors.js';
import type { KvDtype } from '../../compute/base/kv_dtype.js';
import type { KeyedBlock } from './kv_store.js';
import { rowBytesPerToken } from '../model/spec/cache_layout.js';
import { numAttentionLayersOf, type ModelSpec } from '../model/spec/spec.js';

/** Lets who knows its token read one sequence's keys and values, and nothing else. Why: docs/decisions/handover.md#a-token-for-each-lease */
export interface KvLease {
  /** 32 hexadecimal digits: it may be logged. */
  readonly id: string;
  /** 64 hexadecimal digits: what both ends of the link prove to each other that they know. */
  readonly token: string;
}

/** Between source and target these must be equal: rows have as many bytes, and mean the same. */
export interface KvShape {
  /** Attention layers. */
  readonly numLayers: number;
  /** What keys and values are kept as. */
  readonly dtype: KvDtype;
  /** Of one token in one layer: all lanes, one behind the other (cache_layout.ts). */
  readonly rowBytes: number;
}

/** Of a model. */
export const kvShapeOf = (spec: Pick<ModelSpec, 'layers' | 'attention'>, dtype: KvDtype): KvShape => ({
  numLayers: numAttentionLayersOf(spec),
  dtype,
  rowBytes: rowBytesPerToken(spec.attention, dtype),
});

/** To the rank that has a sequence: its rows may be read from now on, those that are there and those that its steps will write. */
export interface LeaseOrder extends KvLease {
  readonly sequence: number;
  /** KV blocks of the tokens that are computed already, in order of position; steps that are planned append to them. */
  readonly blocks: readonly number[];
  /** Tokens that are computed already. */
  readonly numTokens: number;
}

/**
 * To the rank where a sequence is to go on: read rows of its tokens `from` … `to` − 1, all layers, into these blocks.
 * Why: docs/decisions/handover.md#who-asks-pulls
 */
export interface PullOrder {
  /** Of this job; reports name it. */
  readonly pull: number;
  readonly lease: KvLease;
  /** Where the source's rank listens. */
  readonly place: Address;
  /** What rows travel as: as they are, or `bf16` of f32, which is half as long, and rounds. */
  readonly wire: KvDtype;
  readonly from: number;
  /** Tokens that aren't computed yet come as soon as they are, layer by layer. */
  readonly to: number;
  /** Of the sequence here, in order of position from its first token on: enough for `to` tokens. */
  readonly blocks: readonly number[];
}

/**
 * To a rank that has blocks: whoever knows the token may read these, by their places in the list. Those in its cache stay until it hears otherwise, since the lease is
 * released before they are forgotten; one that is in no tier any more ends the reading. Why: docs/decisions/kv_store.md#a-loan-holds-nothing
 */
export interface LendOrder extends KvLease {
  readonly items: readonly LentBlock[];
}

/** `block`: in its cache; null: in a tier of it. */
export interface LentBlock {
  readonly key: string;
  readonly block: number | null;
}

/** To a rank where blocks are to be that another one lends: they become blocks here one after the other, each whole, and none behind one that can't be had. */
export interface FetchOrder {
  /** Of this job, among the pulls; reports name it. */
  readonly pull: number;
  readonly lease: KvLease;
  /** Where the rank that lends listens. */
  readonly place: Address;
  /** The place of the first of them in the lease's list. */
  readonly first: number;
  readonly blocks: readonly FetchedBlock[];
}

/** A block that is to come. */
export interface FetchedBlock extends KeyedBlock {
  /** With the state behind its last token: one that comes without it isn't the block. Default false: a state isn't taken, also where one comes. */
  readonly hasState?: boolean;
}

/** What came of a {@link PullOrder} or a {@link FetchOrder}: all of it, or why not. */
export interface PullReport {
  readonly pull: number;
  /** Of a fetch: that are there, from the first one on, also where not all came. */
  readonly numBlocks?: number;
  /** On the wire, without headers. */
  readonly payloadBytes: number;
  /** Since the order came. */
  readonly tookMs: number;
  readonly error?: RemoteError;
}

/** Orders that a rank obeys at once, beside its steps. Nothing is written any more once a pull is cancelled, nothing read once a lease is released. */
export type HandoverOrder =
  | { readonly kind: 'lease'; readonly lease: LeaseOrder }
  | { readonly kind: 'release'; readonly lease: string }
  | { readonly kind: 'lend'; readonly lend: LendOrder }
  | { readonly kind: 'pull'; readonly order: PullOrder }
  | { readonly kind: 'fetch'; readonly order: FetchOrder }
  | { readonly kind: 'cancel_pull'; readonly pull: number };
