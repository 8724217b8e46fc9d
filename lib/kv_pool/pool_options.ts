import * as z from 'zod';
import { MAX_TIMEOUT_MS } from '../../comm/base/deadline.js';
import { infoOf } from '../config/key_types.js';
import { kvTiersSection, type KvTiers } from '../config/kv_tiers_schema.js';
import { KvPoolError } from './errors.js';
import type { KvPoolListen } from './pool_door.js';

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
  /** Where blocks go that memory has no room for, as `engine.kv_tiers` has it: `[{ ram: '1GiB' }, { disk: { path: 'DIR', size: '10GiB' } }]`. Default: they are forgotten. */
  readonly tiers?: z.input<typeof kvTiersSection>;
  /** Told what a user should know: a disk that can't be used. Default: nobody is. */
  readonly onNotice?: (notice: string) => void;
  /** Where others bring blocks, and read those that are brought to them. Default: nowhere; then none can be transferred. */
  readonly listen?: KvPoolListen;
  /**
   * Whose blocks become that another pool transfers without their tokens: the owner holds them, and frees them. It must not throw. Default: such transfers are refused.
   */
  readonly onBlocks?: (blocks: readonly number[]) => void;
  /** How long another pool may give no sign of life. Default 30000. */
  readonly timeoutMs?: number;
}

const integer = (most: number) => {
  const error = `give a whole number from 1 to ${most}`;
  return z.int(error).min(1, error).max(most, error);
};
const KEY = 'give a text of 16 characters or more';
const PORT = 'give a port from 0 to 65535';

const port = z.int(PORT).min(0, PORT).max(65_535, PORT);
const callback = z.custom<() => void>((value) => typeof value === 'function', 'give a function');

const schema = z.strictObject({
  blockBytes: integer(2 ** 30),
  blockSize: integer(65_536),
  numBlocks: integer(2 ** 24),
  identity: z.string('give a text').optional(),
  listen: z
    .strictObject({
      host: z.string('give a host').min(1).optional(),
      port: port.optional(),
      blocksPort: port.optional(),
      advertise: z.string('give a host').min(1).optional(),
      key: z.string(KEY).min(16, KEY).optional(),
      tls: z.custom<KvPoolListen['tls']>().optional(),
      onRefused: callback.optional(),
    })
    .optional(),
  tiers: kvTiersSection.default([]),
  onNotice: callback.optional(),
  onBlocks: callback.optional(),
  timeoutMs: integer(MAX_TIMEOUT_MS).optional(),
});

/** Options whose sizes are bytes. */
export type CheckedPoolOptions = Omit<KvPoolOptions, 'tiers'> & { readonly tiers: KvTiers };

/** @throws KvPoolError INVALID_ARGUMENT naming the option */
export function checkedPoolOptions(options: KvPoolOptions): CheckedPoolOptions {
  const result = schema.safeParse(options);
  if (result.success) return { ...options, tiers: result.data.tiers };
  const { path, message } = result.error.issues[0]!;
  const [option] = path;
  const advice = option === 'tiers' ? `give ${infoOf(kvTiersSection)!.allowed}` : message;
  throw new KvPoolError('INVALID_ARGUMENT', `${option === undefined ? 'the options' : String(option)}: ${advice}`);
}
