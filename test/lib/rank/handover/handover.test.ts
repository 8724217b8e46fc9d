import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { CommError, remoteMessage } from '../../../../comm/base/errors.js';
import { WsKvNetwork } from '../../../../comm/kv/ws_kv.js';
import type { PullReport } from '../../../../lib/protocol/handover.js';
import { Instance, LEASE } from '../../../kit/engine/handing_over.js';
import { blocksOf, promptPart, startOf, type LocalJobOptions } from '../../../kit/engine/local_job.js';
import { MemoryKvSpace } from '../../../kit/comm/memory_kv.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { largestDifference } from '../../../refs/random.js';

const TOKENS = [5, 17, 3, 40, 8, 21, 9, 33, 2, 11, 30, 6, 25, 14, 38, 1, 19, 27, 4, 12];
const KERNELS = { residence: { compute: 'kernels' } } as const;
const TENSORS = { residence: { compute: 'tensors' } } as const;
const INT8 = { residence: { compute: 'kernels', kv: 'int8' } } as const;
const BF16 = { residence: { compute: 'kernels', kv: 'bf16' } } as const;
const MLA = tinyModel('tiny-deepseek-v3');
const GQA = tinyModel('tiny-qwen3-moe');

describe('sequences that go on in another instance', () => {
  let space: MemoryKvSpace;
  const open: Instance[] = [];

  /** `on`: what happens before its frames leave, or before it takes one. */
  const start = async (dir: string, options: LocalJobOptions = {}, on: Parameters<MemoryKvSpace['node']>[0] = {}) => {
    const instance = await Instance.start(dir, space.node(on), options);
    open.push(instance);
    return instance;
  };
  /** A source of which all tokens but the last may be read, and a target; the logits of the last token. */
  const pair = async (on: { source?: () => void; target?: () => void } = {}) => {
    const source = await start(MLA, {}, { onSend: () => on.source?.() });
    const target = await start(MLA, {}, { onArrival: () => on.target?.() });
    await source.run(TOKENS.slice(0, -1), 0, []);
    source.lease(TOKENS.length - 1);
    return { source, target };
  };

  beforeEach(() => (space = new MemoryKvSpace()));
  afterEach(async () => {
    await Promise.all(open.splice(0).map((instance) => instance.close()));
    expect(space.numLinks, 'links left').to.equal(0);
  });

  const kinds: [string, string, LocalJobOptions, LocalJobOptions, number][] = [
    [
      'MLA, from blocks of 4 tokens to those of 16',
      MLA,
      { ...KERNELS, blockSize: 4 },
      { ...KERNELS, blockSize: 16 },
      0,
    ],
    [
      'GQA, from blocks of 16 tokens to those of 4',
      GQA,
      { ...KERNELS, blockSize: 16 },
      { ...KERNELS, blockSize: 4 },
      0,
    ],
    ['MLA, from one memory to two', MLA, KERNELS, { ...KERNELS, numMemories: 2 }, 0],
    ['GQA, from two ranks to one', GQA, { ...KERNELS, numRanks: 2 }, KERNELS, 0],
    ['MLA, in int8', MLA, { ...INT8, blockSize: 4 }, { ...INT8, blockSize: 16, numMemories: 2 }, 0],
    ['GQA, in int8', GQA, { ...INT8, blockSize: 16 }, { ...INT8, blockSize: 5 }, 0],
    ['GQA, in bf16', GQA, { ...BF16, blockSize: 5 }, { ...BF16, blockSize: 16 }, 0],
    ['MLA, from kernels to tensors', MLA, { ...KERNELS, mla: 'absorbed' }, { ...TENSORS, mla: 'absorbed' }, 1e-4],
    ['GQA, from tensors to kernels', GQA, { ...TENSORS, blockSize: 4 }, KERNELS, 1e-4],
  ];
  for (const [name, dir, here, there, tolerance] of kinds) {
    it(`compute the same: ${name}`, async () => {
      const [source, target] = [await start(dir, here), await start(dir, there)];
      const { numLayers, rowBytes } = source.shape;
      const [first, cut, last] = [6, 13, TOKENS.length - 1];
      await source.run(TOKENS.slice(0, cut), 0, []);
      await target.run(TOKENS.slice(0, first), 0, []); // as its prefix cache
      source.lease(cut);
      target.pull(source, first, cut);
      const bulk = await target.report();
      expect(bulk).to.deep.include({ pull: first, payloadBytes: numLayers * (cut - first) * rowBytes });
      const expected = [await source.run(TOKENS.slice(cut, last), cut), await source.run([TOKENS[last]!], last)];
      target.pull(source, cut, last);
      expect(await target.report()).to.deep.include({ payloadBytes: numLayers * (last - cut) * rowBytes });
      const actual = await target.run([TOKENS[last]!], last, TOKENS.slice(0, last));
      if (tolerance === 0) expect([...actual]).to.deep.equal([...expected[1]!]);
      else expect(largestDifference(actual, expected[1]!)).to.be.below(tolerance);
    });
  }

  it('take half the bytes as bf16, and are about the same', async () => {
    const { source, target } = await pair();
    const last = TOKENS.length - 1;
    target.pull(source, 0, last, { wire: 'bf16' });
    const { numLayers, rowBytes } = source.shape;
    expect((await target.report()).payloadBytes).to.equal(numLayers * last * (rowBytes / 2));
    const expected = await source.run([TOKENS[last]!], last);
    const actual = await target.run([TOKENS[last]!], last, TOKENS.slice(0, last));
    expect(largestDifference(actual, expected)).to.be.within(1e-7, 0.05);
  });

  it('leave layer by layer behind a computation that isn’t over yet', async () => {
    const source = await start(MLA, { numRanks: 2, ...KERNELS });
    let numArrived = 0;
    const target = await start(MLA, {}, { onArrival: () => numArrived++ });
    source.lease(0);
    target.pull(source, 0, TOKENS.length);
    const blocks = blocksOf(0).slice(0, 2);
    const shared = { step: 1000, epoch: 0, placementVersion: 0 };
    const first = source.executors[0]!.run({
      ...shared,
      begin: [startOf(0)],
      parts: [{ ...promptPart(0, TOKENS), blocks }],
    });
    // The first layer is dense, the second one waits for the other rank's experts.
    while (numArrived < 2) await turn();
    for (let i = 0; i < 50; i++) await turn();
    expect(numArrived).to.equal(2);
    expect(target.unread).to.deep.equal([]);
    await Promise.all([first, source.executors[1]!.run({ ...shared, begin: [], parts: [] })]);
    expect((await target.report()).error).to.equal(undefined);
    expect(numArrived).to.equal(source.shape.numLayers);
    const next = await target.run([7], TOKENS.length, TOKENS);
    expect([...next]).to.deep.equal([...(await source.run([7], TOKENS.length))]);
  });

  it('are read by a lease that came while a step ran, as soon as that is over', async () => {
    const source = await start(MLA);
    const target = await start(MLA);
    const running = source.run(TOKENS, 0, []);
    source.lease(0);
    target.pull(source, 0, TOKENS.length);
    await running;
    expect((await target.report()).error).to.equal(undefined);
  });

  it('are read again from their beginning where they begin anew, and by their lease where that is told again', async () => {
    const { source, target } = await pair();
    await source.run(TOKENS.slice(0, 5), 0, []);
    target.pull(source, 3, 8);
    await source.run(TOKENS.slice(5, 7), 5);
    for (let i = 0; i < 20; i++) await turn();
    expect(target.unread).to.deep.equal([]); // what was there before is gone
    await source.run(TOKENS.slice(7, 8), 7);
    expect((await target.report()).error).to.equal(undefined);
    source.lease(0);
    target.pull(source, 0, 4);
    for (let i = 0; i < 20; i++) await turn();
    expect(target.unread).to.deep.equal([]);
    source.lease(8);
    expect((await target.report()).error).to.equal(undefined);
  });

  it('are not read as far as a step wrote them that came to nothing', async () => {
    const source = await start(MLA, { numRanks: 2 });
    let numArrived = 0;
    const target = await start(MLA, {}, { onArrival: () => numArrived++ });
    source.lease(0);
    const plan = { step: 1, epoch: 0, placementVersion: 0, begin: [startOf(0)], parts: [promptOf(TOKENS)] };
    const ended = new AbortController();
    const running = source.executors[0]!.run(plan, ended.signal);
    await turn();
    ended.abort(new CommError('ABORTED', 'the head declared an epoch'));
    await errorOf(CommError, () => running);
    target.pull(source, 0, TOKENS.length);
    for (let i = 0; i < 20; i++) await turn();
    expect(numArrived).to.equal(0);
    source.obey({ kind: 'release', lease: LEASE.id });
    expect((await target.report()).error!.code).to.equal('CLOSED');
  });

  it('two pulls of one lease at once both get all, and five are too many', async () => {
    const { source, target } = await pair();
    const { numLayers, rowBytes } = source.shape;
    target.pull(source, 0, 9);
    target.pull(source, 9, 19);
    const reports = [await target.report(), await target.report()];
    expect(reports.map(({ error }) => error)).to.deep.equal([undefined, undefined]);
    const total = reports.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);
    expect(total).to.equal(numLayers * 19 * rowBytes);
    for (let pull = 100; pull < 104; pull++) target.pull(source, 0, 25, { pull }); // wait for tokens to come
    for (let i = 0; i < 50; i++) await turn();
    target.pull(source, 0, 1, { pull: 104 });
    expect(await target.report()).to.have.nested.property('error.code', 'LIMIT');
    target.obey({ kind: 'cancel_pull', pull: 100 });
    for (let i = 0; i < 10; i++) await turn();
    target.pull(source, 0, 1, { pull: 105 });
    expect((await target.report()).error).to.equal(undefined);
  });

  it('are refused by name to a model of another shape, and to who doesn’t know the token', async () => {
    const { source } = await pair();
    const other = await start(GQA);
    other.pull(source, 0, 4);
    const message = remoteMessage((await other.report()).error!);
    expect(message)
      .to.match(/^INVALID_ARGUMENT: /)
      .and.contain(`${source.shape.rowBytes}`);
    expect(message).to.contain(`${other.shape.rowBytes}`);
    const rounded = await start(MLA, INT8);
    rounded.pull(source, 0, 4);
    expect(remoteMessage((await rounded.report()).error!))
      .to.match(/^INVALID_ARGUMENT: .* bytes of int8 .*engine.kv_dtype$/)
      .and.contain(`${source.shape.rowBytes} of f32`);
    for (const lease of [{ token: '3'.repeat(64) }, { id: '3'.repeat(32) }]) {
      other.pull(source, 0, 4, lease);
      expect((await other.report()).error!.code).to.equal('AUTH_FAILED');
    }
    source.obey({ kind: 'release', lease: LEASE.id });
    other.pull(source, 0, 4);
    expect((await other.report()).error!.code).to.equal('AUTH_FAILED');
  });

  it('are written when everything is forgotten that was ordered to be before', async () => {
    const { source, target } = await pair();
    let forget: () => void = () => undefined;
    target.pull(source, 0, 8, { freed: new Promise((resolve) => (forget = resolve)) });
    for (let i = 0; i < 50; i++) await turn();
    expect(target.cache.numBlocks).to.equal(0);
    forget();
    expect((await target.report()).error).to.equal(undefined);
    expect(target.cache.numBlocks).to.equal(1);
  });

  it('that have nothing to read are read at once, wherever they are', async () => {
    const { source, target } = await pair();
    source.obey({ kind: 'release', lease: LEASE.id });
    target.pull(source, 4, 4);
    expect(await target.report()).to.deep.include({ pull: 4, payloadBytes: 0 });
  });

  /** Of the rows of a pull, a frame for each layer. */
  const NUM_FRAMES = 3;

  for (let nth = 1; nth <= NUM_FRAMES; nth++) {
    it(`a source that dies at frame ${nth} of ${NUM_FRAMES} is told of, with what came before`, async () => {
      let numSent = 0;
      const { source, target } = await pair({
        source: () => {
          if (++numSent === nth) for (const door of space.doors.values()) door.cut();
        },
      });
      const before = target.held();
      target.pull(source, 0, 19);
      const report = await target.report();
      expect(report.error!.code).to.equal('PEER_LOST');
      expect(report.payloadBytes % (19 * source.shape.rowBytes)).to.equal(0);
      target.obey({ kind: 'release', lease: 'none' });
      target.end();
      expect(target.held()).to.deep.equal(before);
    });

    it(`nothing is written by a pull that is cancelled at frame ${nth} of ${NUM_FRAMES}, and nobody hears of it`, async () => {
      let numArrived = 0;
      const { source, target } = await pair({
        target: () => {
          if (++numArrived === nth) target.obey({ kind: 'cancel_pull', pull: 0 });
        },
      });
      const before = target.held();
      target.pull(source, 0, 19);
      while (numArrived < nth) await turn();
      target.end();
      for (let i = 0; i < 50; i++) await turn();
      expect(target.held()).to.deep.equal(before);
      expect(target.unread).to.deep.equal([]);
      expect(space.numLinks).to.equal(0);
      target.pull(source, 0, 19); // of the same number
      expect((await target.report()).error).to.equal(undefined);
    });

    it(`nothing is read by a lease that is released at frame ${nth} of ${NUM_FRAMES}`, async () => {
      let numSent = 0;
      const { source, target } = await pair({
        source: () => {
          if (++numSent === nth) source.obey({ kind: 'release', lease: LEASE.id });
        },
      });
      let numReads = 0;
      const { cache } = source;
      const readRows = cache.readRows.bind(cache);
      cache.readRows = (...args) => {
        numReads++;
        return readRows(...args);
      };
      target.pull(source, 0, 19);
      expect((await target.report()).error!.code).to.equal('CLOSED');
      expect(numReads).to.equal(nth);
    });
  }

  it('that are being read end with the rank that has them', async () => {
    const { source, target } = await pair();
    target.pull(source, 0, 30);
    while (space.numLinks === 0) await turn();
    await source.close();
    expect((await target.report()).error!.code).to.be.oneOf(['CLOSED', 'PEER_LOST']);
    open.splice(open.indexOf(source), 1);
  });

  it('go over sockets as they do in memory', async () => {
    const networkOf = (): WsKvNetwork =>
      new WsKvNetwork({ listen: { host: '127.0.0.1', port: 0 }, advertise: '127.0.0.1', timeoutMs: 10_000 });
    for (let i = 0; i < 2; i++) open.push(await Instance.start(GQA, networkOf(), KERNELS));
    const [source, target] = [open[0]!, open[1]!];
    await source.run(TOKENS.slice(0, 10), 0, []);
    source.lease(10);
    target.pull(source, 0, 19);
    await source.run(TOKENS.slice(10, 19), 10);
    const report: PullReport = await target.report();
    const { numLayers, rowBytes } = source.shape;
    expect(report).to.deep.include({ payloadBytes: numLayers * 19 * rowBytes });
    const actual = await target.run([TOKENS[19]!], 19, TOKENS.slice(0, 19));
    expect([...actual]).to.deep.equal([...(await source.run([TOKENS[19]!], 19))]);
    source.obey({ kind: 'release', lease: LEASE.id });
    target.pull(source, 0, 4);
    expect((await target.report()).error!.code).to.equal('AUTH_FAILED');
  });
});

const promptOf = (tokens: readonly number[]) => ({ ...promptPart(0, tokens), blocks: blocksOf(0).slice(0, 2) });
