/**
 * The absorbed form of latent attention (DeepSeek-V2, 2024, §2.1): queries go into the latent space and results come out of it, and in between all heads
 * read the cache rows themselves. Shape suffixes: T tokens, N nope, C cache row, D latent (kvLoraRank), V value channels.
 * Why: docs/decisions/tensorflow.md#attention-by-blocks-of-heads
 */
import { columnsFrom, joinColumns, keep, matMul, reshape, toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';
import type { MlaSpec } from '../spec/spec.js';

/**
 * Heads side by side in one block-diagonal matrix: a few operations for all heads instead of a few for each, with the same bits, because products with 0
 * are exact. Large heads come in several blocks, so that the zeros don't cost more than the operations.
 */
interface HeadBlock {
  readonly firstHead: number;
  readonly numHeads: number;
  /** [heads·N, heads·D] */
  readonly key: Tensor2D;
  /** [heads·C, heads·V]; zeros where the cache row holds no latent. */
  readonly value: Tensor2D;
}

/** Elements of the larger matrix of a block. */
const MAX_BLOCK_ELEMENTS = 2 ** 18;

/** The products into the latent space and out of it, for all heads of a layer. */
export class AbsorbedHeads {
  private readonly blocks: readonly HeadBlock[];

  /** `kvUp`: kv_b_proj as stored, [heads·(N + V), D]. */
  constructor(
    private readonly spec: MlaSpec,
    kvUp: Float32Array,
    private readonly cacheWidth: number,
  ) {
    const { numHeads, qkNopeHeadDim, kvLoraRank, vHeadDim } = spec;
    const perHead = Math.max(qkNopeHeadDim * kvLoraRank, cacheWidth * vHeadDim);
    const perBlock = Math.max(1, Math.min(numHeads, Math.floor(Math.sqrt(MAX_BLOCK_ELEMENTS / perHead))));
    const blocks: HeadBlock[] = [];
    for (let first = 0; first < numHeads; first += perBlock) {
      blocks.push(this.block(kvUp, first, Math.min(perBlock, numHeads - first)));
    }
    this.blocks = blocks;
  }

  /** q_nope [T, heads·N] → q_nope·W_uk of each head, [T·heads, D]. */
  intoLatent(nope: Tensor2D): Tensor2D {
    const { qkNopeHeadDim: width, numHeads, kvLoraRank } = this.spec;
    const latent = this.blocks.map((block) =>
      matMul(columnsFrom(nope, block.firstHead * width, block.numHeads * width), block.key),
    );
    return reshape(joinColumns(latent), [nope.shape[0] * numHeads, kvLoraRank]);
  }

  /** Weighted cache rows [T·heads, C] → values·W_uv of each head, [T, heads·V]. */
  outOfLatent(contexts: Tensor2D, numTokens: number): Tensor2D {
    const width = this.cacheWidth;
    const rows = reshape(contexts, [numTokens, this.spec.numHeads * width]);
    return joinColumns(
      this.blocks.map((block) =>
        matMul(columnsFrom(rows, block.firstHead * width, block.numHeads * width), block.value),
      ),
    );
  }

  /** Frees the matrices of all blocks. */
  dispose(): void {
    for (const { key, value } of this.blocks) {
      key.dispose();
      value.dispose();
    }
  }

  private block(kvUp: Float32Array, firstHead: number, numHeads: number): HeadBlock {
    const { qkNopeHeadDim: n, kvLoraRank: d, vHeadDim: v } = this.spec;
    const c = this.cacheWidth;
    const key = new Float32Array(numHeads * n * numHeads * d);
    const value = new Float32Array(numHeads * c * numHeads * v);
    for (let head = 0; head < numHeads; head++) {
      const up = kvUp.subarray((firstHead + head) * (n + v) * d, (firstHead + head + 1) * (n + v) * d);
      for (let row = 0; row < n; row++) {
        key.set(up.subarray(row * d, (row + 1) * d), (head * n + row) * numHeads * d + head * d);
      }
      for (let row = 0; row < d; row++) {
        for (let column = 0; column < v; column++) {
          value[(head * c + row) * numHeads * v + head * v + column] = up[(n + column) * d + row]!;
        }
      }
    }
    return {
      firstHead,
      numHeads,
      key: keep(toTensor(key, [numHeads * n, numHeads * d])),
      value: keep(toTensor(value, [numHeads * c, numHeads * v])),
    };
  }
}
