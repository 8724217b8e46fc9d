import { expect } from 'chai';
import { MAX_BATCH_KEYS } from '../../../../lib/cluster/base/block_events.js';
import { InstanceTeller } from '../../../../lib/cluster/bus/instance_teller.js';
import { LocalBus } from '../../../../lib/cluster/bus/local_bus.js';
import { recordOf, Watcher } from '../../../kit/cluster/members.js';
import { PlayedToldEngine } from '../../../kit/cluster/told_engine.js';

describe('what an instance tells', () => {
  let engine: PlayedToldEngine;
  let teller: InstanceTeller;
  let watcher: Watcher;
  beforeEach(async () => {
    const bus = new LocalBus();
    engine = new PlayedToldEngine();
    teller = new InstanceTeller(engine, { record: recordOf('a'), intervalMs: 1 });
    teller.add(await bus.join(recordOf('a'), teller));
    watcher = new Watcher(bus);
  });
  afterEach(() => teller.close());

  const loads = () => watcher.events.flatMap((event) => (event.kind === 'load' ? [event.load] : []));

  it('is its load and blocks whole, then what changes, and nothing where nothing does', async () => {
    engine.store(1, 2);
    await watcher.knows('a', 1, 2);
    expect(watcher.of('a')).to.deep.equal(['a is mixed as a 1', 'a has load 0', 'a tells 0: cleared, stored 1,2']);
    engine.step();
    engine.store(3);
    engine.remove(1);
    await watcher.knows('a', 2, 3);
    expect(watcher.of('a').slice(3), 'the load is as it was').to.deep.equal([
      'a tells 1: removed 1',
      'a tells 2: stored 3',
    ]);
    engine.numWaiting = 4;
    engine.step();
    await watcher.hears('a has load 1');
    expect(loads()[1]).to.deep.include({
      numWaiting: 4,
      numRunning: 1,
      numKvBlocks: 64,
      numUsedBlocks: 7,
      numCachedBlocks: 10,
    });
    expect(loads()[1]!.numFreeBlocksOfRank, 'of the emptier rank').to.equal(29);
  });

  it('is an index of any size, in batches that have a limit', async () => {
    const numbers = Array.from({ length: 2 * MAX_BATCH_KEYS + 1 }, (_, i) => i);
    engine.store(...numbers);
    await watcher.knows('a', ...numbers);
    const sizes = watcher.events.flatMap((event) =>
      event.kind === 'blocks'
        ? [event.batch.events.map((each) => (each.kind === 'cleared' ? 0 : each.keys.length))]
        : [],
    );
    expect(sizes).to.deep.equal([[0, MAX_BATCH_KEYS], [MAX_BATCH_KEYS], [1]]);
  });

  it('are its requests by the names that their callers gave them, as long as they are there', async () => {
    const request = { isRunning: true, priority: 0, numPromptTokens: 9, numOutputTokens: 2, numBlocks: 1 };
    engine.sequences = [0, 1, 2].map((sequence) => ({ sequence, ...request }));
    const queued = { kind: 'queued', numPromptTokens: 9, maxNewTokens: 5 } as const;
    for (const observer of engine.observers) {
      observer.request?.({ ...queued, sequence: 0, id: 'first' });
      observer.request?.({ ...queued, sequence: 1, id: null });
      observer.request?.({ ...queued, sequence: 2, id: 'x'.repeat(10_000) });
    }
    await watcher.until(() => loads().at(-1)?.requests.length === 1);
    expect(loads().at(-1)!.requests).to.deep.equal([{ id: 'first', isMovable: true, arrival: 0, ...request }]);
    for (const observer of engine.observers) observer.request?.({ kind: 'finished', sequence: 0, reason: 'stop' });
    await watcher.until(() => loads().at(-1)?.requests.length === 0);
  });

  it('is how quickly its last steps computed prompts and tokens', async () => {
    const part = (isPrompt: boolean, numTokens: number) => ({ isPrompt, tokenIds: Array<number>(numTokens).fill(0) });
    const step = (stepMs: number, ...parts: unknown[]) => engine.step({ plans: [{ parts }], stepMs } as never);
    await watcher.hears('a has load 0');
    expect(loads()[0]).to.include({ prefillTokensPerS: null, tbtMs: null });
    for (let i = 0; i < 200; i++) step(10, part(true, 100));
    for (let i = 0; i < 200; i++) step(4, part(false, 1));
    await watcher.until(() => loads().at(-1)!.tbtMs === 4);
    expect(loads().at(-1)!.prefillTokensPerS).to.equal(10_000);
  });

  it('ends with the instance: nobody watches the engine any more', async () => {
    await watcher.hears('a has load 0');
    await teller.close();
    await watcher.hears('a is gone: left');
    expect(engine.observers.size).to.equal(0);
    await teller.close();
  });
});
