/** Prompts that one instance computes and another one goes on behind, over a link: keys and values layer by layer beside the computation, against all behind it. */
import { closing } from '../../lib/commands/base/closing.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import type { GenerationRequest, TokenEvent } from '../../lib/protocol/request.js';
import type { Address } from '../../comm/ws/door/dial.js';
import { BenchError } from '../base/errors.js';
import { beginsAs, type FigureRow, type Measured } from '../base/measured.js';
import { median } from '../base/machine.js';
import { LinkedSource } from './linked_source.js';
import { startLinks } from '../links/links.js';
import { LONG_KEYS } from './long_model.js';
import type { ClusterBench } from './measurement.js';
import { promptOf } from './prompts.js';

/** What becomes of a prompt. */
export const WAYS = ['alone', 'bulk', 'streamed'] as const;
type Way = (typeof WAYS)[number];

/** Of an answer. */
const NUM_NEW_TOKENS = 8;
const MBIT_BYTES = 125_000;
/** V8 compiles a rank's hot loops meanwhile. */
const WARM_UP_TOKENS = 200;

/** One answer. */
export interface HandoverTrial {
  readonly tokenIds: readonly number[];
  /** From asking to its first token. */
  readonly firstMs: number;
  /** From its first token to its second one. */
  readonly secondMs: number;
  /** Of keys and values, on the wire. */
  readonly numBytes: number;
}

/** By what becomes of a prompt. */
export type HandoverTrials = Readonly<Record<Way, readonly HandoverTrial[]>>;

/** A row per length. */
export async function measureHandover(bench: ClusterBench): Promise<Measured> {
  const { promptTokens, rounds, linkMbit } = bench;
  const bytesPerSecond = linkMbit * MBIT_BYTES;
  return withSites(bench, bytesPerSecond, async (sites) => {
    const all = promptTokens.map((): HandoverTrials => ({ alone: [], bulk: [], streamed: [] }));
    for (let round = 0; round < rounds; round++)
      for (const [i, numTokens] of promptTokens.entries())
        for (const way of WAYS)
          (all[i]![way] as HandoverTrial[]).push(await sites.answer(way, promptOf(bench.seed, numTokens, numTokens)));
    const trials = all.flatMap(({ alone, bulk, streamed }) =>
      [...bulk, ...streamed].map((trial) => beginsAs(trial.tokenIds, alone[0]!.tokenIds)),
    );
    return {
      formula: `second: from the first token to the second one; link: bytes / ${linkMbit} Mbit/s, all bytes = tokens × ${sites.rowBytes} (bytes_ratio: counted / that); hidden: 1 − (streamed − alone) / (bulk − alone)`,
      baseline:
        'alone: the instance that computed the prompt goes on itself; bulk: cluster.kv_stream=off, all goes once the prompt is computed',
      aim: 'hidden at least 70 % at 2048 tokens and 1000 Mbit/s',
      rows: promptTokens.map((numTokens, i) => handoverRow(numTokens, all[i]!, sites.rowBytes, bytesPerSecond)),
      answers: trials.length,
      changed: trials.filter((isSame) => !isSame).length,
    };
  });
}

/** Medians of each way. `rowBytes`: of one token. Pure. */
export function handoverRow(
  numTokens: number,
  { alone, bulk, streamed }: HandoverTrials,
  rowBytes: number,
  bytesPerSecond: number,
): FigureRow {
  const second = (trials: readonly HandoverTrial[]): number => median(trials.map(({ secondMs }) => secondMs));
  const numBytes = numTokens * rowBytes;
  const moved = [...bulk, ...streamed].map((trial) => trial.numBytes / numBytes);
  return {
    tokens: numTokens,
    first_ms: median(alone.map(({ firstMs }) => firstMs)),
    first_streamed_ms: median(streamed.map(({ firstMs }) => firstMs)),
    link_ms: (1000 * numBytes) / bytesPerSecond,
    alone_ms: second(alone),
    bulk_ms: second(bulk),
    streamed_ms: second(streamed),
    hidden_share: 1 - (second(streamed) - second(alone)) / (second(bulk) - second(alone)),
    bytes_ratio: moved.reduce((most, ratio) => (Math.abs(ratio - 1) > Math.abs(most - 1) ? ratio : most), 1),
  };
}

/** One that computes prompts, two that go on, and the link between. */
class Sites {
  private numAsked = 0;

  constructor(
    private readonly source: Engine,
    private readonly targets: Readonly<Record<Exclude<Way, 'alone'>, Engine>>,
    private readonly link: Address,
    private readonly signal: AbortSignal,
  ) {}

  /** Of keys and values of one token. */
  get rowBytes(): number {
    const { numLayers, rowBytes } = this.source.kvIdentity.shape!;
    return numLayers * rowBytes;
  }

  async answer(way: Way, promptTokenIds: readonly number[]): Promise<HandoverTrial> {
    const request = { promptTokenIds, maxNewTokens: NUM_NEW_TOKENS, ignoreEos: true };
    const told = new ToldTokens();
    if (way === 'alone') {
      await told.follow(this.source.generate(request, this.signal));
      return told.trial(0);
    }
    const target = this.targets[way];
    const before = target.stats().arrivals;
    await this.handOver(request, target, told);
    const after = target.stats().arrivals;
    if (after.numRecomputed > before.numRecomputed) {
      throw new BenchError('NOT_MOVED', `keys and values of ${promptTokenIds.length} tokens were computed anew`);
    }
    return told.trial(after.pulledBytes - before.pulledBytes);
  }

  private async handOver(request: GenerationRequest, target: Engine, told: ToldTokens): Promise<void> {
    const id = `prompt-${this.numAsked++}`;
    const here = told.follow(
      this.source.generate({ ...request, id, movable: true, handover: 'after_prompt' }, this.signal),
    );
    here.catch(() => undefined);
    await new Promise<void>((resolve) => setImmediate(resolve)); // it is queued
    const source = new LinkedSource(this.source, id, this.link);
    await Promise.all([here, told.follow(target.generate({ ...request, source }, this.signal))]);
  }
}

/** Of one answer, whoever tells them. */
class ToldTokens {
  private readonly startMs = performance.now();
  private readonly tokens: { readonly id: number; readonly atMs: number }[] = [];

  async follow(events: AsyncIterable<TokenEvent>): Promise<void> {
    for await (const event of events)
      if (event.kind === 'token') this.tokens.push({ id: event.tokenId, atMs: performance.now() });
  }

  trial(numBytes: number): HandoverTrial {
    const [first, second] = this.tokens;
    return {
      tokenIds: this.tokens.map(({ id }) => id),
      firstMs: first!.atMs - this.startMs,
      secondMs: second!.atMs - first!.atMs,
      numBytes,
    };
  }
}

/** Starts all, warms them up, and closes them whatever `use` does. */
async function withSites<T>(
  bench: ClusterBench,
  bytesPerSecond: number,
  use: (sites: Sites) => Promise<T>,
): Promise<T> {
  const { signal } = bench;
  const links = startLinks(signal);
  const engines: Engine[] = [];
  return closing(
    async () => {
      await Promise.all(engines.map((engine) => engine.close()));
      await links.close();
    },
    async () => {
      const start = async (stream: 'on' | 'off'): Promise<Engine> => {
        const engine = await startEngine(bench, stream);
        engines.push(engine);
        await warmUp(engine, signal);
        return engine;
      };
      const source = await start('off');
      const targets = { bulk: await start('off'), streamed: await start('on') };
      const limits = { delayMs: 0, bytesPerSecond };
      const { address } = await links.ask({ target: source.stats().loadReports[0]!.kvDoor!, limits });
      const sites = new Sites(source, targets, address, signal);
      for (const way of WAYS) await sites.answer(way, promptOf(bench.seed, 0, WARM_UP_TOKENS));
      return use(sites);
    },
  );
}

async function startEngine({ longModel: model, set, signal }: ClusterBench, stream: 'on' | 'off'): Promise<Engine> {
  const overrides = [...LONG_KEYS, 'cluster.enabled=true', `cluster.kv_stream=${stream}`, 'parallel.threads=1', ...set];
  return Engine.start({ config: await loadConfig({ flags: { model, parallel: { ranks: 1 } }, overrides }), signal });
}

async function warmUp(engine: Engine, signal: AbortSignal): Promise<void> {
  const request = { promptTokenIds: promptOf(0, 0, 32), maxNewTokens: WARM_UP_TOKENS, ignoreEos: true };
  await new ToldTokens().follow(engine.generate(request, signal));
}
