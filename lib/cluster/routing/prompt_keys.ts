/** How a router names the blocks of a prompt: as the instances do that may have them. */
import { hash } from 'node:crypto';
import { BlockHasher, BlockKeys } from '../../head/scheduling/blocks/block_keys.js';
import type { PrefixSharing } from '../../head/scheduling/blocks/prefix_sharing.js';
import { shortKeyOf } from '../../head/scheduling/blocks/stored_blocks.js';
import type { BlockKey } from '../base/block_events.js';
import type { BlockSharing, InstanceRecord } from '../base/instance_record.js';
import type { NamedBlocks } from './pool/named_blocks.js';

/** Where nobody told token ids, so many characters stand for a token. */
const TEXT_TOKEN_CHARS = 4;
/** Of instances that tell nothing of how they name blocks: their names are the router's own. */
const OWN_SHARING: BlockSharing = { seed: hash('sha256', 'router', 'hex'), separatesForms: false };

/** A prompt as far as a router knows it: its tokens, or its text. */
export type KnownPrompt = { readonly tokens: readonly number[] | Int32Array | Uint32Array } | { readonly text: string };

/** How an instance with such a prefix cache names its blocks, as its record tells. */
export function blockSharingOf(sharing: PrefixSharing | null): BlockSharing | null {
  if (sharing === null) return null;
  return { seed: hash('sha256', sharing.seed, 'hex'), separatesForms: sharing.separatesForms };
}

/** The keys that one prompt's blocks have in different instances. */
export class PromptKeys {
  /** By what names them. */
  private readonly known = new Map<string, NamedBlocks>();

  constructor(private readonly prompt: KnownPrompt) {}

  /** Otherwise its keys are of its text: no instance has them. */
  get hasTokens(): boolean {
    return 'tokens' in this.prompt;
  }

  /** Tokens of the prompt; of a text a guess. */
  get numTokens(): number {
    const { prompt } = this;
    return 'tokens' in prompt ? prompt.tokens.length : Math.ceil(prompt.text.length / TEXT_TOKEN_CHARS);
  }

  /** As this instance names them. */
  of({ sharing, blockSize }: Pick<InstanceRecord, 'sharing' | 'blockSize'>): NamedBlocks {
    const { seed, separatesForms } = sharing ?? OWN_SHARING;
    const name = `${seed} ${separatesForms} ${blockSize}`;
    const known = this.known.get(name) ?? blocksOf(this.prompt, BlockHasher.like(blockSize, { seed, separatesForms }));
    this.known.set(name, known);
    return known;
  }
}

function blocksOf(prompt: KnownPrompt, hasher: BlockHasher): NamedBlocks {
  const promptTokenIds = 'tokens' in prompt ? prompt.tokens : wordsOf(prompt.text);
  const keys = new BlockKeys(hasher, { promptTokenIds, outputTokenIds: [] });
  const short: BlockKey[] = [];
  const hex = (key: string): string => Buffer.from(key, 'binary').toString('hex');
  return {
    numBlocks: Math.floor(promptTokenIds.length / hasher.blockSize),
    at: (index) => (short[index] ??= hex(shortKeyOf(keys.at(index)))),
    wholeAt: (index) => hex(keys.at(index)),
  };
}

/** Numbers that are equal where texts are. */
function wordsOf(text: string): Int32Array {
  const words = new Int32Array(Math.floor(text.length / TEXT_TOKEN_CHARS));
  for (let i = 0; i < words.length * TEXT_TOKEN_CHARS; i++) {
    const at = Math.floor(i / TEXT_TOKEN_CHARS);
    words[at] = Math.imul(words[at]!, 65_599) + text.charCodeAt(i);
  }
  return words;
}
