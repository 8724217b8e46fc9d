/** Our engine as a program that answers orders, so that any Node can run it. Its argument is {@link OursOptions} as JSON. */
import { createInterface } from 'node:readline';
import { loadConfig } from '../../../lib/config/load.js';
import { Engine } from '../../../lib/head/engine.js';
import { stepTimes } from './step_times.js';
import type { EngineRun } from './engine.js';

/** What it loads. */
export interface OursOptions {
  readonly model: string;
  readonly ranks: number;
  readonly set: readonly string[];
}

interface Orders {
  readonly prefill: { readonly ids: readonly number[] };
  readonly decode: { readonly prompts: readonly (readonly number[])[]; readonly tokens: number };
  readonly logits: { readonly ids: readonly number[] };
}

/** Steps before all prompts are in: their first tokens come in steps of their own. */
const SPARE_STEPS = 3;

const { model, ranks, set } = JSON.parse(process.argv[2]!) as OursOptions;
const config = await loadConfig({ flags: { model, parallel: { ranks } }, overrides: set });
const engine = await Engine.start({ config });
const cached = new Set<string>();
const tell = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);

const handlers: { readonly [K in keyof Orders]: (order: Orders[K]) => Promise<object> } = {
  async prefill({ ids }): Promise<EngineRun> {
    const startMs = performance.now();
    const [first] = await timesOf(ids, 1);
    return { ms: first!.atMs - startMs, tokens: [[first!.tokenId]] };
  },
  async decode({ prompts, tokens }): Promise<EngineRun> {
    await cache(prompts);
    const sequences = await Promise.all(
      prompts.map((ids) => timesOf(ids, 1 + tokens + (prompts.length > 1 ? SPARE_STEPS : 0))),
    );
    const msPerStep = stepTimes(sequences.map((sequence) => sequence.map(({ atMs }) => atMs)));
    return {
      ms: tokens * msPerStep,
      tokens: sequences.map((all) => all.slice(0, 1 + tokens).map(({ tokenId }) => tokenId)),
    };
  },
  async logits({ ids }) {
    let last = new Float32Array();
    const { vocabSize } = engine.spec;
    await engine.score({
      tokenIds: ids,
      onLogits: (rows) => {
        last = rows.slice(rows.length - vocabSize);
        return Promise.resolve();
      },
    });
    return { logits: Array.from(last) };
  },
};

/** Puts prompts into the prefix cache, once. */
async function cache(prompts: readonly (readonly number[])[]): Promise<void> {
  const key = JSON.stringify(prompts);
  if (!cached.has(key)) await Promise.all(prompts.map((ids) => timesOf(ids, 1)));
  cached.add(key);
}

async function timesOf(ids: readonly number[], maxNewTokens: number): Promise<{ atMs: number; tokenId: number }[]> {
  const times: { atMs: number; tokenId: number }[] = [];
  for await (const event of engine.generate({ promptTokenIds: ids, maxNewTokens, ignoreEos: true })) {
    if (event.kind === 'token') times.push({ atMs: performance.now(), tokenId: event.tokenId });
  }
  return times;
}

/** Ranks, and how their kernels compute. */
function build(): string {
  const [report] = engine.stats().loadReports;
  const kernels = report!.kernels;
  const how = kernels === null ? report!.backend : `simd ${kernels.simd}, fma ${kernels.fma ? 'on' : 'off'}`;
  return `${ranks} ${ranks === 1 ? 'rank' : 'ranks'}, ${how}`;
}

tell({ ready: { version: `expertwire, Node ${process.version}`, built_with: build() } });
for await (const line of createInterface(process.stdin)) {
  const { op, ...order } = JSON.parse(line) as { readonly op: keyof Orders };
  tell(await handlers[op](order as never));
}
await engine.close();
