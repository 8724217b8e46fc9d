/** A server over an engine with real ranks. */
import { expect } from 'chai';
import { loadConfig } from '../../../lib/config/load.js';
import { Engine } from '../../../lib/head/engine.js';
import type { GenerationRequest } from '../../../lib/protocol/request.js';
import { createServer, type HttpServer } from '../../../lib/server/create_server.js';

export interface ServedJobSetup {
  readonly model: string;
  readonly ranks: number;
  readonly apiKeys?: readonly string[];
  /** Further keys: 'engine.block_size=4'. */
  readonly set?: readonly string[];
}

/** What runs, over all ranks. */
export interface Use {
  readonly numWaiting: number;
  readonly numRunning: number;
  readonly numUsedBlocks: number;
}

export class ServedJob {
  private constructor(
    readonly engine: Engine,
    readonly server: HttpServer,
    readonly url: string,
  ) {}

  static async start({ model, ranks, apiKeys = [], set = [] }: ServedJobSetup): Promise<ServedJob> {
    const config = await loadConfig({ base: { model, parallel: { ranks }, server: { port: 0 } }, overrides: set });
    const engine = await Engine.start({ config });
    try {
      const server = await createServer(engine, { config, apiKeys });
      return new ServedJob(engine, server, await server.listen());
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  get use(): Use {
    const { numWaiting, ranks } = this.engine.load;
    return {
      numWaiting,
      numRunning: ranks.reduce((sum, rank) => sum + rank.numRunning, 0),
      numUsedBlocks: ranks.reduce((sum, rank) => sum + rank.numUsedBlocks, 0),
    };
  }

  /** Nothing waits, runs or holds a block. */
  expectIdle(): void {
    expect(this.use).to.deep.equal({ numWaiting: 0, numRunning: 0, numUsedBlocks: 0 });
  }

  /** Waits for it. */
  async until(isSo: (use: Use) => boolean): Promise<void> {
    while (!isSo(this.use)) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  /** What the engine itself says, greedy. */
  async generate(
    prompt: string,
    maxNewTokens: number,
    more: Partial<GenerationRequest> = {},
  ): Promise<{ readonly tokenIds: readonly number[]; readonly text: string }> {
    const promptTokenIds = this.engine.tokenizer!.encode(prompt);
    const tokenIds: number[] = [];
    let text = '';
    for await (const event of this.engine.generate({ promptTokenIds, maxNewTokens, ...more })) {
      text += event.text;
      if (event.kind === 'token') tokenIds.push(event.tokenId);
    }
    return { tokenIds, text };
  }

  async close(): Promise<void> {
    await this.server.close();
    await this.engine.close();
  }
}
