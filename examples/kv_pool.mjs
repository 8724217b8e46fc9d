/**
 * A cache of keys and values without an engine: two pools, as two servers would have them. The first one computes a conversation, has too little memory for it, and finds it
 * again in its tiers; then it brings it to the second one, which computes only what is new. Run `node kv_pool.mjs` where expertwire is installed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvPool } from 'expertwire';

const folder = await mkdtemp(join(tmpdir(), 'kv-pool-'));
const sizes = { blockBytes: 4096, blockSize: 16, identity: 'a model and its settings' };
const small = await KvPool.open({
  ...{ ...sizes, numBlocks: 8, listen: {} },
  tiers: [{ ram: '16KiB' }, { disk: { path: folder, size: '1MiB' } }],
});
const large = await KvPool.open({ ...sizes, numBlocks: 64, listen: {} });

/** Stands for computing: the keys and values of 16 tokens. */
const compute = (tokenIds) => new Uint8Array(4096).fill(tokenIds.reduce((sum, id) => sum + id, 0));

/** A turn of a conversation: what is there is found, the rest is computed and left for the next turn. Returns how many tokens were found. */
async function turn(pool, tokenIds) {
  const { blocks, numTokens } = await pool.match(tokenIds);
  const fresh = pool.alloc(Math.floor(tokenIds.length / 16) - blocks.length);
  for (const [i, block] of fresh.entries()) {
    pool.write(block, compute(tokenIds.slice(numTokens + 16 * i, numTokens + 16 * (i + 1))));
  }
  pool.insert(tokenIds, [...blocks, ...fresh]);
  pool.free([...blocks, ...fresh]);
  return numTokens;
}

const conversation = (number, numTokens) => Array.from({ length: numTokens }, (_, i) => 1000 * number + i);
const said = conversation(1, 96);
console.log(`first turn: ${await turn(small, said)} of 96 tokens found`);
for (const number of [2, 3, 4]) await turn(small, conversation(number, 96));
console.log(`next turn: ${await turn(small, conversation(1, 128))} of 128 tokens found, in ${whereOf(small)}`);

const { blocks } = await small.match(said);
await small.transferWithInsert(large.address, said, blocks);
small.free(blocks);
console.log(`elsewhere: ${await turn(large, conversation(1, 128))} of 128 tokens found`);

await Promise.all([small.close(), large.close()]);
await rm(folder, { recursive: true });

function whereOf(pool) {
  const places = pool.counts.filter(({ numHits }) => numHits > 0);
  return places.map(({ tier, numHits }) => `${tier}: ${numHits}`).join(', ');
}
