/** What an instance tells of itself, whoever asks: it changes rarely. */
import type { Role } from '../../config/cluster_schema.js';

/** How an instance names blocks that it has in its prefix cache: whose is equal has equal keys for equal tokens. */
export interface BlockSharing {
  /** 64 hexadecimal digits: what stands before the first block (block_keys.ts). */
  readonly seed: string;
  /** Blocks whose tokens were generated have other keys than those of prompts. */
  readonly separatesForms: boolean;
}

/** One expert-parallel group, or a server of others. */
export interface InstanceRecord {
  /** Stays when it is started anew. */
  readonly id: string;
  /** Of this start: what was known of an earlier one is gone. */
  readonly incarnation: string;
  /** Where its API is, without a path, as in `http://127.0.0.1:8000`. */
  readonly url: string;
  /** `foreign`: a server of the OpenAI API that tells nothing of itself; its requests can't move. */
  readonly kind: 'own' | 'foreign';
  /**
   * `mixed`: it computes everything; `prefill`: prompts, whose sequences go on elsewhere; `decode`: sequences that began elsewhere.
   * Why: docs/decisions/cluster.md#roles-are-wishes
   */
  readonly role: Role;
  /** It takes no new requests: it is about to end. */
  readonly isDraining: boolean;
  /** As requests name it. */
  readonly model: string;
  /** Of the weights: sequences go on in instances of the same alone. Null: foreign. */
  readonly fingerprint: string | null;
  readonly numRanks: number;
  /** Tokens per KV block. Of foreign ones a guess. */
  readonly blockSize: number;
  /** Of all ranks together; 0: it isn't known. */
  readonly numKvBlocks: number;
  /** Tokens that prompt and output may have together. Infinity isn't JSON: 0 = it isn't known. */
  readonly maxModelLen: number;
  /** Null: it has no prefix cache, or tells nothing of it. */
  readonly sharing: BlockSharing | null;
  /** It lends blocks of its caches to instances of the same weights and sharing, and reads theirs. */
  readonly isPooled: boolean;
}
