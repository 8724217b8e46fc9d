import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runBench } from '../../../bench/index.js';
import { loadConfig } from '../../../lib/config/load.js';
import { Engine } from '../../../lib/head/engine.js';
import { createServer } from '../../../lib/serve.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { moe7m } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

interface Figures {
  readonly completed: number;
  readonly failed: number;
  readonly total_output_tokens: number;
  readonly counted_by_chunks: number;
  readonly cached_tokens: { readonly cachedTokens: number; readonly promptTokens: number };
  readonly ideal_cached_tokens: {
    readonly ofPrompts: number;
    readonly ofAnswers: number;
    readonly promptTokens: number;
  };
}

/** Runs `use` with the address of a server over an engine of real ranks. */
async function withServed<T>(
  ranks: number,
  overrides: readonly string[],
  use: (url: string) => Promise<T>,
): Promise<T> {
  const base = { model: moe7m(), parallel: { ranks } };
  const config = await loadConfig({ base, overrides: ['server.port=0', ...overrides] });
  const engine = await Engine.start({ config });
  try {
    const server = await createServer(engine, { config });
    try {
      return await use(await server.listen());
    } finally {
      await server.close();
    }
  } finally {
    await engine.close();
  }
}

async function measured(url: string, ...args: readonly string[]): Promise<Figures> {
  return withTempFolder(async (dir) => {
    const file = join(dir, 'figures.json');
    await runBench(['serve', '--url', url, '--json', file, ...args], commandContext());
    return JSON.parse(await readFile(file, 'utf8')) as Figures;
  });
}

const TURNS = [
  '--dataset',
  'turns',
  '--num-prompts',
  '4',
  '--num-turns',
  '4',
  '--input-len',
  '30',
  '--output-len',
  '20',
];

describe('expertwire bench serve against a real server', function () {
  this.timeout(180_000);

  it('every endpoint and dataset is answered whole, and counted by the server’s usage', async () => {
    await withServed(2, [], async (url) => {
      const random = await measured(url, '--num-prompts', '12', '--output-len', '8', '--range-ratio', '0.5', '--request-rate', '40'); // prettier-ignore
      expect([random.completed, random.failed, random.counted_by_chunks]).to.deep.equal([12, 0, 0]);
      const chat = await measured(url, '--endpoint', 'chat', ...TURNS);
      expect([chat.completed, chat.failed, chat.total_output_tokens]).to.deep.equal([16, 0, 320]);
    });
  });

  it('with ample memory of one rank the cached fraction of turns is the ideal one, within 1 %, for either way of sharing', async () => {
    for (const [how, ideal] of [
      ['any', 'ofAnswers'],
      ['exact', 'ofPrompts'],
    ] as const) {
      await withServed(1, [`engine.prefix_cache=${how}`], async (url) => {
        const { completed, cached_tokens: cached, ideal_cached_tokens: ideals } = await measured(url, ...TURNS);
        expect(completed).to.equal(16);
        expect(cached.promptTokens).to.equal(ideals.promptTokens);
        expect(ideals[ideal]).to.be.above(0.3 * ideals.promptTokens);
        expect((cached.cachedTokens - ideals[ideal]) / cached.promptTokens, how).to.be.within(-0.01, 0.01);
      });
    }
  });
});
