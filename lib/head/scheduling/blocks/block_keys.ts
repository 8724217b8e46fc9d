/**
 * What stands for the content of a full KV block: a hash of its tokens and of all before them, so that equal keys mean equal keys and values.
 * Why: docs/decisions/memory.md#a-chain-of-hashes-names-a-block
 */
import { hash } from 'node:crypto';

/** Whose blocks get keys. */
export interface KeyedTokens {
  readonly promptTokenIds: ArrayLike<number>;
  /** Grows; what is there stays. */
  readonly outputTokenIds: readonly number[];
}

/** How keys are made: one of all sequences whose blocks may be shared. */
export class BlockHasher {
  /** The key before a sequence's first one. */
  readonly seed: string;
  /** Key before, prompt tokens, tokens. */
  private readonly bytes: Buffer;
  private readonly words: Int32Array;
  private readonly separatesForms: boolean;

  /**
   * @param seed all that equal tokens' keys and values depend on, besides tokens
   * @param separatesForms a prompt's tokens and generated ones have other bits: equal tokens that are divided otherwise have other keys
   */
  constructor(
    readonly blockSize: number,
    { seed, separatesForms }: { readonly seed: string; readonly separatesForms: boolean },
    firstKey = hash('sha256', seed, 'binary'),
  ) {
    this.seed = firstKey;
    this.separatesForms = separatesForms;
    this.words = new Int32Array(KEY_WORDS + 1 + blockSize);
    this.bytes = Buffer.from(this.words.buffer);
  }

  /** As one elsewhere makes them whose {@link BlockHasher.seed} is, in hexadecimal digits, `seed`. */
  static like(
    blockSize: number,
    { seed, separatesForms }: { readonly seed: string; readonly separatesForms: boolean },
  ): BlockHasher {
    return new BlockHasher(blockSize, { seed, separatesForms }, Buffer.from(seed, 'hex').toString('binary'));
  }

  /** The key of block `index`, which must be full, from the one before. */
  next(before: string, index: number, { promptTokenIds, outputTokenIds }: KeyedTokens): string {
    const { blockSize, words } = this;
    const first = index * blockSize;
    const numPrompt = promptTokenIds.length;
    this.bytes.write(before, 'binary');
    words[KEY_WORDS] = this.separatesForms ? Math.min(Math.max(numPrompt - first, 0), blockSize) : 0;
    for (let i = 0; i < blockSize; i++) {
      const at = first + i;
      words[KEY_WORDS + 1 + i] = at < numPrompt ? promptTokenIds[at]! : outputTokenIds[at - numPrompt]!;
    }
    return hash('sha256', this.bytes, 'binary');
  }
}

/** Keys of one sequence's blocks, each made when it is first asked for: a long prompt never holds up the head. */
export class BlockKeys {
  private readonly keys: string[];

  /** `known`: the first ones, where somebody made them already. */
  constructor(
    private readonly hasher: BlockHasher,
    private readonly tokens: KeyedTokens,
    known: readonly string[] = [],
  ) {
    this.keys = [...known];
  }

  /** Of a block whose tokens are all known. */
  at(index: number): string {
    for (let i = this.keys.length; i <= index; i++) {
      this.keys.push(this.hasher.next(this.keys[i - 1] ?? this.hasher.seed, i, this.tokens));
    }
    return this.keys[index]!;
  }
}

/** Of 32 bits. */
const KEY_WORDS = 8;
/** Of a key: a character each. */
export const KEY_BYTES = 4 * KEY_WORDS;
