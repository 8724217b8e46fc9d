/** What one cache without end would leave to compute. Pure. */
import { BlockTree } from '../../serve/figures/block_tree.js';
import { SMALL, type Conversation } from './simulated_cluster.js';

/** Prompt tokens that are computed, where each conversation is over before the next begins. */
export function infiniteCache(conversations: readonly Conversation[], blockSize: number = SMALL.blockSize): number {
  const tree = new BlockTree(blockSize);
  let numComputed = 0;
  for (const { turns } of conversations.toSorted((a, b) => a.atMs - b.atMs)) {
    const context: number[] = [];
    for (const { said, answer } of turns) {
      context.push(...said);
      const numShared = Math.min(tree.match(context), context.length - 1);
      numComputed += context.length - Math.floor(numShared / blockSize) * blockSize;
      context.push(...answer);
      tree.add(context);
    }
  }
  return numComputed;
}
