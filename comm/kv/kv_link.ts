/**
 * Keys and values of a sequence on their way from a rank of one instance to a rank of another, as both ends see it. n tokens, F floats of a token in one layer.
 * Over WebSockets: ws_kv.ts. Why: docs/decisions/handover.md#who-asks-pulls
 */
import type { Address } from '../ws/door/dial.js';

/** What both ends of a link prove to each other that they know. */
export interface LeaseProof {
  readonly id: string;
  readonly token: string;
}

/** What the target wants: rows of tokens `from` … `to` − 1, all layers, and what it takes a row to be. */
export interface KvWish {
  readonly from: number;
  readonly to: number;
  readonly wire: 'f32' | 'bf16';
  readonly numLayers: number;
  readonly rowFloats: number;
}

/** Rows of tokens that follow each other, of one layer. */
export interface KvRows {
  readonly layer: number;
  /** The first of them. */
  readonly token: number;
  /** [n·F] */
  readonly rows: Float32Array;
}

/** Rows that came, and their bytes on the wire. */
export interface KvArrival extends KvRows {
  readonly payloadBytes: number;
}

/** Somebody who proved a lease and told its wish, as the source sees it. */
export interface KvReader {
  readonly wish: KvWish;
  /** Aborted when the link has ended. */
  readonly gone: AbortSignal;
  /** Resolves when there is room for the next ones, or the link has ended. */
  send(rows: KvRows): Promise<void>;
  /** Ends the link behind what was sent, and says why. The target ends it when it has all. Idempotent. */
  end(error: unknown): void;
}

/** Who is let in, and what is done with them. */
export interface KvLeases {
  /** Null: there is no such lease. */
  tokenOf(lease: string): string | null;
  onReader(lease: string, reader: KvReader): void;
}

/** Where others read. */
export interface KvDoor {
  readonly address: Address;
  /** Idempotent: ends all links. */
  close(): Promise<void>;
}

/** What a source sends, as the target sees it. */
export interface KvStream {
  /** The next rows; null: all have come. @throws CommError: why there are none */
  next(): Promise<KvArrival | null>;
  /** Idempotent. */
  close(): void;
}

/** Whose rows a target wants. */
export interface KvDialOptions {
  readonly place: Address;
  readonly lease: LeaseProof;
  readonly wish: KvWish;
  readonly signal: AbortSignal;
}

/** How rows travel between instances. */
export interface KvNetwork {
  /** @throws CommError ADDRESS_IN_USE, UNREACHABLE, INVALID_ARGUMENT */
  open(leases: KvLeases): Promise<KvDoor>;
  /** @throws CommError UNREACHABLE, AUTH_FAILED, VERSION_MISMATCH, ABORTED, … */
  dial(options: KvDialOptions): Promise<KvStream>;
}
