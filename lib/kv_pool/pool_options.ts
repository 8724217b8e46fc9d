import * as z from 'zod';
import { KvPoolError } from './errors.js';

/** What a pool is made of. */
export interface KvPoolOptions {
  /** Of each block, 1 … 2^30. */
  readonly blockBytes: number;
  /** Tokens that a block is for, 1 … 65536. */
  readonly blockSize: number;
  /** 1 … 2^24; memory is taken when a block is first written to. */
  readonly numBlocks: number;
  /** All that the bytes of a block depend on besides tokens: a model, a configuration. Pools with another one take nothing of each other's. Default ''. */
  readonly identity?: string;
}

const integer = (most: number) => z.int(`give a whole number from 1 to ${most}`).min(1).max(most);

const schema = z.strictObject({
  blockBytes: integer(2 ** 30),
  blockSize: integer(65_536),
  numBlocks: integer(2 ** 24),
  identity: z.string('give a text').optional(),
});

/** @throws KvPoolError INVALID_ARGUMENT naming the option */
export function checkedPoolOptions(options: KvPoolOptions): KvPoolOptions {
  const result = schema.safeParse(options);
  if (result.success) return options;
  const { path, message } = result.error.issues[0]!;
  throw new KvPoolError('INVALID_ARGUMENT', `${path.length === 0 ? 'the options' : path.join('.')}: ${message}`);
}
