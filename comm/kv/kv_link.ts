/**
 * Keys and values on their way from a rank to another one, as both ends see it: rows of a sequence, or whole blocks. n tokens.
 * Over WebSockets: ws_kv.ts. Why: docs/decisions/handover.md#who-asks-pulls
 */
import type { Address } from '../ws/door/dial.js';

/** What both ends of a link prove to each other that they know. */
export interface LeaseProof {
  readonly id: string;
  readonly token: string;
}

/** What rows may be, in caches and on their way; `int8` rows have parameters of their own before their codes (compute/base/kv_dtype.ts). */
export const KV_ROW_DTYPES = ['f32', 'bf16', 'int8'] as const;
/** One of {@link KV_ROW_DTYPES}. */
export type KvRowDtype = (typeof KV_ROW_DTYPES)[number];

/** What the target wants: rows of tokens `from` … `to` − 1, all layers, and what it takes a row to be. */
export interface KvWish {
  readonly from: number;
  readonly to: number;
  readonly numLayers: number;
  /** In the caches of both ends. */
  readonly dtype: KvRowDtype;
  /** Of a token's rows in one layer, in both caches. */
  readonly rowBytes: number;
  /** As they travel: as they are, or `bf16` of f32, which rounds. */
  readonly wire: KvRowDtype;
}

/** Rows of tokens that follow each other, of one layer. */
export interface KvRows {
  readonly layer: number;
  /** The first of them. */
  readonly token: number;
  /** [n, rowBytes], which begins at a multiple of 4 bytes of its buffer. */
  readonly rows: Uint8Array;
}

/** Rows that came, and their bytes on the wire. */
export interface KvArrival extends KvRows {
  readonly payloadBytes: number;
}

/** What a target wants of blocks that are lent: `numBlocks` from place `first` of the lease's list on, and what it takes a block to be. */
export interface KvBlocksWish {
  readonly first: number;
  readonly numBlocks: number;
  /** Of the rows of a block. */
  readonly rowBytes: number;
  /** That a block has behind its rows where it keeps a state; 0 where no layer has one. */
  readonly stateBytes: number;
}

/** A block as it is outside its cache. */
export interface KvBlock {
  /** Its place in the lease's list. */
  readonly at: number;
  /** A character per byte: both ends know it, and it doesn't travel. */
  readonly key: string;
  readonly bytes: Uint8Array;
}

/** The source's end of a link, to which a target told its wish. */
export interface KvReaderOf<Wish, Content> {
  readonly wish: Wish;
  /** Aborted when the link has ended. */
  readonly gone: AbortSignal;
  /** Resolves when there is room for the next, or the link has ended. */
  send(content: Content): Promise<void>;
  /** Ends the link behind what was sent, and says why. The target ends it when it has all. Idempotent. */
  end(error: unknown): void;
}

/** Somebody who proved a lease of a sequence, as the source sees it. */
export type KvReader = KvReaderOf<KvWish, KvRows>;
/** Somebody who proved a lease of blocks, as the source sees it. */
export type KvBlocksReader = KvReaderOf<KvBlocksWish, KvBlock>;

/** Who is let in, and what is done with them. */
export interface KvLeases {
  /** Null: there is no such lease. */
  tokenOf(lease: string): string | null;
  onReader(lease: string, reader: KvReader): void;
  onBlocksReader(lease: string, reader: KvBlocksReader): void;
}

/** Where others read. */
export interface KvDoor {
  readonly address: Address;
  /** Idempotent: ends all links. */
  close(): Promise<void>;
}

/** What a source sends, as the target sees it. */
export interface KvStreamOf<Content> {
  /** The next; null: all has come. @throws CommError: why there is none */
  next(): Promise<Content | null>;
  /** Idempotent. */
  close(): void;
}

/** Rows of a sequence. */
export type KvStream = KvStreamOf<KvArrival>;
/** Blocks, each when it is whole. */
export type KvBlockStream = KvStreamOf<KvBlock>;

/** Who lets a target read. */
export interface KvPlace {
  readonly place: Address;
  readonly lease: LeaseProof;
  readonly signal: AbortSignal;
}

/** Whose rows a target wants. */
export interface KvDialOptions extends KvPlace {
  readonly wish: KvWish;
}

/** Which blocks it wants. */
export interface KvBlocksDialOptions extends KvPlace {
  /** Without their number. */
  readonly wish: Omit<KvBlocksWish, 'numBlocks'>;
  /** What they are to hold: at least one. */
  readonly keys: readonly string[];
}

/** How rows travel between instances. */
export interface KvNetwork {
  /** @throws CommError ADDRESS_IN_USE, UNREACHABLE, INVALID_ARGUMENT */
  open(leases: KvLeases): Promise<KvDoor>;
  /** @throws CommError UNREACHABLE, AUTH_FAILED, VERSION_MISMATCH, ABORTED, … */
  dial(options: KvDialOptions): Promise<KvStream>;
  /** As {@link dial}. */
  dialBlocks(options: KvBlocksDialOptions): Promise<KvBlockStream>;
}
