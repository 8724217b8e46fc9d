/** Two whole engines in this process, whose ranks read each other's keys and values, and requests that go on from one to the other. */
import { expect } from 'chai';
import type { GenerationRequest, TokenEvent } from '../../../lib/protocol/request.js';
import { MemoryKvSpace } from '../comm/memory_kv.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from './local_engine.js';
import { OfferedSource, type OfferedSourceOptions } from './offered_source.js';

/** How a request goes on. */
export interface MoveOptions extends OfferedSourceOptions {
  /** Tokens that the source has told when it is offered. Default 0: at once. */
  readonly at?: number;
  /** How the source is asked for it: as by vLLM's routers, for one token for instance. Default: as it is. */
  readonly asked?: Partial<Pick<GenerationRequest, 'maxNewTokens' | 'handover'>>;
}

/** What its client sees. */
export interface MovedAnswer {
  /** Of the source, up to where the target goes on, and of that. */
  readonly tokenIds: readonly number[];
  readonly numTold: number;
  readonly numResumed: number;
  /** How it ended at the source. */
  readonly end: TokenEvent['kind'];
  readonly source: OfferedSource;
}

/** As its client asks for it. */
export type Asked = Omit<GenerationRequest, 'id' | 'movable' | 'handover'>;

export class TwoEngines {
  private numRequests = 0;

  private constructor(
    readonly from: LocalEngine,
    readonly to: LocalEngine,
    readonly space: MemoryKvSpace,
  ) {}

  static async start(modelDir: string, from: LocalEngineOptions, to: LocalEngineOptions): Promise<TwoEngines> {
    const kv = new MemoryKvSpace();
    const inCluster = (options: LocalEngineOptions): LocalEngineOptions => ({
      ...{ kv, ...options, set: ['cluster.enabled=true', ...(options.set ?? [])] },
    });
    const first = await startLocalEngine(modelDir, inCluster(from));
    const second = await startLocalEngine(modelDir, inCluster(to));
    return new TwoEngines(first, second, kv);
  }

  /** Runs `act` on two engines, which hold nothing afterwards. */
  static async use(
    modelDir: string,
    [from, to]: readonly [LocalEngineOptions, LocalEngineOptions],
    act: (two: TwoEngines) => Promise<void>,
  ): Promise<void> {
    const two = await TwoEngines.start(modelDir, from, to);
    try {
      await act(two);
      two.checkEmpty();
    } finally {
      await Promise.all([two.from.close(), two.to.close()]);
    }
  }

  /** The other way round. */
  get back(): TwoEngines {
    return new TwoEngines(this.to, this.from, this.space);
  }

  /** What one engine makes of it alone. */
  async alone(request: Asked): Promise<number[]> {
    return tokensOf(await told(this.from.engine.generate(request)));
  }

  async move(request: Asked, { at = 0, asked, ...options }: MoveOptions): Promise<MovedAnswer> {
    const id = `request ${this.numRequests++}`;
    const source = new OfferedSource(this.from.engine, id, options);
    let there: Promise<TokenEvent[]> | null = null;
    const goOn = (): void => {
      there ??= told(this.to.engine.generate({ ...request, source }));
      there.catch(() => undefined);
    };
    const events: TokenEvent[] = [];
    const coming = this.from.engine.generate({ ...request, ...asked, id, movable: true });
    for (;;) {
      const next = coming.next(); // it is queued now
      if (tokensOf(events).length >= at) goOn();
      const { done, value } = await next;
      if (done === true) break;
      events.push(value);
    }
    const later = await there!;
    const resumed = later[0];
    if (resumed?.kind !== 'resumed') throw new Error(`the first event there is ${resumed?.kind}`);
    const [here, numResumed, end] = [tokensOf(events), resumed.numTokens, events.at(-1)!.kind];
    const tokenIds = [...here.slice(0, numResumed), ...tokensOf(later)];
    expect(here, 'where both go on, they say the same').to.deep.equal(tokenIds.slice(0, here.length));
    if (end === 'moved') expect(here, 'nobody says a token twice').to.have.length(numResumed);
    return { tokenIds, numTold: here.length, numResumed, end, source };
  }

  /** Nobody holds anything, and nobody reads. */
  checkEmpty(): void {
    for (const { engine } of [this.from, this.to]) {
      const { numWaiting, ranks } = engine.load;
      const left = { numWaiting, used: ranks.map(({ numUsedBlocks }) => numUsedBlocks) };
      expect(left).to.deep.equal({ numWaiting: 0, used: ranks.map(() => 0) });
    }
    expect(this.space.numLinks, 'links that are open').to.equal(0);
  }
}

async function told(events: AsyncIterable<TokenEvent>): Promise<TokenEvent[]> {
  const all: TokenEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

const tokensOf = (events: readonly TokenEvent[]): number[] =>
  events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []));
