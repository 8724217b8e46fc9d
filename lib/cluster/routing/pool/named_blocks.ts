/** The full blocks of a prompt, by their keys. */
import { SHORT_KEY_BYTES } from '../../../head/scheduling/blocks/stored_blocks.js';
import type { BlockKey } from '../../base/block_events.js';

/** Keys of a prompt's full blocks, each made when it is first asked for. */
export interface PromptBlocks {
  readonly numBlocks: number;
  /** Of a block that is there. */
  at(index: number): BlockKey;
}

/** With whole keys, by which instances ask each other for blocks. */
export interface NamedBlocks extends PromptBlocks {
  /** 64 hexadecimal digits. */
  wholeAt(index: number): string;
}

/** Blocks of which whole keys are known. */
export const blocksOfKeys = (keys: readonly string[]): PromptBlocks => ({
  numBlocks: keys.length,
  at: (index) => keys[index]!.slice(0, 2 * SHORT_KEY_BYTES),
});
