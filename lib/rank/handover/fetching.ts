/** Blocks that another rank lends, on their way into this one's cache. Why: docs/decisions/kv_store.md#blocks-not-rows */
import { CommError } from '../../../comm/base/errors.js';
import type { KvNetwork } from '../../../comm/kv/kv_link.js';
import type { KvCache } from '../../model/decoder/decoder.js';
import type { BlockBytes } from '../../model/spec/cache_layout.js';
import type { FetchOrder } from '../../protocol/handover.js';
import { takeAll, type TakingTerms } from './taking.js';

/** Where blocks come from and go to. */
export interface FetchParts {
  readonly cache: Pick<KvCache, 'write'>;
  readonly blockBytes: BlockBytes;
  readonly network: Pick<KvNetwork, 'dialBlocks'>;
}

/** What a pull brought by now. */
export interface Got {
  payloadBytes: number;
  /** Of a fetch. */
  numBlocks?: number;
}

/** Each is written when it is whole, and none before `freed`, when what the blocks held before is forgotten. @throws CommError: why there are no more; what the cache says */
export async function fetchBlocks(
  { place, lease, first, blocks }: FetchOrder,
  { cache, blockBytes, network }: FetchParts,
  { freed, signal, got }: TakingTerms & { readonly got: Got },
): Promise<void> {
  got.numBlocks = 0;
  if (blocks.length === 0) return;
  const wish = { first, rowBytes: blockBytes.rows, stateBytes: blockBytes.state };
  const stream = await network.dialBlocks({ place, lease, wish, keys: blocks.map(({ key }) => key), signal });
  let numBlocks = 0;
  await takeAll(stream, { freed, signal }, ({ at, bytes }) => {
    const { block, hasState = false } = blocks[at - first]!;
    if (hasState && bytes.byteLength === blockBytes.rows) throw withoutState(at);
    cache.write(block, hasState ? bytes : bytes.subarray(0, blockBytes.rows));
    got.numBlocks = ++numBlocks;
    got.payloadBytes += bytes.byteLength;
  });
}

const withoutState = (at: number): CommError =>
  new CommError('CLOSED', `block ${at} of the lease doesn't keep its state any more; compute it`, { phase: 'kv' });
