import { expect } from 'chai';
import { join } from 'node:path';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { ChatError } from '../../../../lib/commands/chat/answers/errors.js';
import { kv } from '../../../../lib/commands/kv/kv.js';
import type { KvArgs } from '../../../../lib/commands/kv/kv_options.js';
import { runCommand } from '../../../../lib/commands/parser.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import { KvPool } from '../../../../lib/kv_pool/kv_pool.js';
import type { KvAnswer } from '../../../../lib/server/base/kv_answer.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { withPlayedServer, type Part } from '../../../kit/serve/played_server.js';

const NONE = { fetches: 0, failed: 0, blocks: 0, bytes: 0 };
const MOVED = { stored_blocks: 3, stored_bytes: 3072, loaded_blocks: 1, loaded_bytes: 1024 };
const ANSWER: KvAnswer = {
  block_size: 16,
  ranks: [
    {
      ...{ rank: 0, blocks: 64, used_blocks: 12, cached_blocks: 40, pinned_blocks: 3 },
      tiers: [{ tier: 'disk', blocks: 7, bytes: 7168, max_bytes: 2 ** 30 }],
    },
    { rank: 1, blocks: 64, used_blocks: 0, cached_blocks: 0, pinned_blocks: 0, tiers: [] },
  ],
  cache: { queried_tokens: 400, hit_tokens: 100, evicted_blocks: 9, refused_pins: 6 },
  tiers: [{ tier: 'disk', queried_tokens: 300, hit_tokens: 30, ...MOVED, lost_blocks: 2 }],
  pool: {
    ...{ queried_tokens: 0, hit_tokens: 0, fetched: { rank: NONE, instance: NONE } },
    ...{ loans: 0, lent_blocks: 0, evicted_loans: 0, expired_loans: 0 },
  },
};

const answered = (answer: unknown): Part => ({ kind: 'raw', type: 'application/json', text: JSON.stringify(answer) });

/** What the command prints of an answer, and what it asked. */
async function run(part: Part, args: Partial<KvArgs> = {}, env: Record<string, string> = {}) {
  return withPlayedServer(
    () => part,
    async ({ url, asked }) => {
      const context = { ...commandContext(), env };
      await kv({ action: 'ls', url, ...args }, context);
      return { printed: context.printed(), asked };
    },
  );
}

describe('the command kv', () => {
  it('ls tells what lies where, and how much was found', async () => {
    const { printed, asked } = await run(answered(ANSWER), {}, { EXPERTWIRE_API_KEY: 'one,two' });
    expect(asked[0]).to.include({ path: '/v1/kv', authorization: 'Bearer one' });
    expect(printed.split('\n')).to.deep.equal([
      '                                 blocks               bytes  pinned',
      'rank 0  cache  12 used, 40 cached of 64                           3',
      '         disk                         7  7.0 KiB of 1.0 GiB',
      'rank 1  cache    0 used, 0 cached of 64                           0',
      '',
      'cache: 100 of 400 prompt tokens found (25.0 %) · 6 blocks were to be pinned beyond engine.kv_pin_share',
      'disk: 30 of 300 prompt tokens found (10.0 %) · 3.0 KiB down, 1.0 KiB up · 2 blocks lost',
      '',
    ]);
  });

  it('ls tells what came from elsewhere, where anything did', async () => {
    const fetched = { rank: NONE, instance: { fetches: 4, failed: 1, blocks: 9, bytes: 2048 } };
    const pool = { ...ANSWER.pool, queried_tokens: 200, hit_tokens: 144, lent_blocks: 5, fetched };
    const { printed } = await run(answered({ ...ANSWER, tiers: [], pool }));
    expect(printed).to.match(
      /\nelsewhere: 144 of 200 prompt tokens found \(72\.0 %\) · 9 blocks \(2\.0 KiB\) from other instances, 1 failed · 5 blocks lent\n$/,
    );
  });

  it('clear has all of it forgotten', async () => {
    const { printed, asked } = await run(answered({ cleared_blocks: 13 }), { action: 'clear' });
    expect(asked[0]).to.deep.include({ path: '/v1/kv/clear', body: {} });
    expect(printed).to.equal('cleared: 13 blocks\n');
  });

  it('--json is what the server says', async () => {
    expect(JSON.parse((await run(answered(ANSWER), { json: true })).printed)).to.deep.equal(ANSWER);
  });

  it('--path tells what the folder of a disk tier holds, and clears what no process has', () =>
    withTempFolder(async (path) => {
      const sizes = { blockBytes: 1024, blockSize: 1, numBlocks: 1, tiers: [{ disk: { path, size: '1MiB' } }] };
      const pool = await KvPool.open(sizes);
      for (const token of [1, 2, 3]) {
        const blocks = pool.alloc(1);
        pool.write(blocks[0]!, new Uint8Array(1024));
        pool.insert([token], blocks);
        pool.free(blocks);
      }
      const printed = async (args: Partial<KvArgs>): Promise<string> => {
        const context = commandContext();
        await kv({ action: 'ls', path, ...args }, context);
        return context.printed();
      };
      expect(await printed({ action: 'clear' }), 'this process has it').to.match(
        /^cleared: 0 blocks, 0 B · left, since processes have them: [0-9a-f]{12}…\/0 \(\d+\)\n$/,
      );
      await pool.close();
      expect(await printed({})).to.match(/^ +blocks +bytes\n[0-9a-f]{12}…\/0 +2 +2\.2 KiB\n$/);
      const { folders } = JSON.parse(await printed({ json: true })) as { folders: readonly object[] };
      expect(folders[0]).to.include({ number: 0, blocks: 2, bytes: 2 * (1024 + 80), pid: null });
      expect(await printed({ action: 'clear' })).to.equal('cleared: 2 blocks, 2.2 KiB\n');
      expect((await errorOf(ConfigError, () => printed({ path: join(path, 'none') }))).code).to.equal('NOT_FOUND');
      await errorOf(UsageError, () => printed({ url: 'http://127.0.0.1:1' }));
    }));

  it('what isn’t understood or refused is told', async () => {
    const broken = await errorOf(ChatError, () => run(answered({ object: 'list' })));
    expect(broken.code).to.equal('ANSWER_BROKEN');
    const refused = { kind: 'status', status: 409, message: 'requests run, and nothing was forgotten' } as const;
    const error = await errorOf(ChatError, () => run(refused, { action: 'clear' }));
    expect(error.message).to.equal('SERVER_REFUSED: the server answered 409: requests run, and nothing was forgotten');
    await errorOf(UsageError, () => runCommand(['kv', 'list'], commandContext()));
  });
});
