/** What is asked of a network over which ranks of two instances read each other's keys and values. */
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { CommError } from '../../comm/index.js';
import { rowsPerFrame } from '../../comm/kv/kv_frames.js';
import type {
  KvBlocksDialOptions,
  KvBlocksReader,
  KvBlockStream,
  KvDoor,
  KvNetwork,
  KvReader,
  KvStream,
  KvWish,
} from '../../comm/kv/kv_link.js';
import { rejection } from '../kit/errors.js';
import { randomFrom, randomValues } from '../refs/random.js';

const LEASE = { id: 'a'.repeat(32), token: 'b'.repeat(64) };
const SHAPE = { numLayers: 3, dtype: 'f32', rowBytes: 80 } as const;
const NEVER = new AbortController().signal;

/** Declares the suite; `open`: networks of ranks that reach each other. */
export function describeKvNetwork(name: string, open: () => () => KvNetwork): void {
  describe(`keys and values between instances, ${name}`, () => {
    let source: Source;
    let dial: (wish: KvWish, proof?: Partial<typeof LEASE>, signal?: AbortSignal) => Promise<KvStream>;
    let dialBlocks: (wish: KvBlocksDialOptions['wish'], keys: readonly string[]) => Promise<KvBlockStream>;

    beforeEach(async () => {
      const networks = open();
      source = await Source.open(networks());
      const target = networks();
      dial = (wish, proof = {}, signal = NEVER) =>
        target.dial({ place: source.door.address, lease: { ...LEASE, ...proof }, wish, signal });
      dialBlocks = (wish, keys) =>
        target.dialBlocks({ place: source.door.address, lease: LEASE, wish, keys, signal: NEVER });
    });
    afterEach(() => source.door.close());

    for (const [dtype, wire, rowBytes, sentBytes] of [
      ['f32', 'f32', 80, 80],
      ['f32', 'bf16', 80, 40],
      ['bf16', 'bf16', 38, 38],
      ['int8', 'int8', 27, 27],
    ] as const) {
      it(`of ${dtype} come as ${wire}: as many bytes as layers · tokens · ${sentBytes}, wherever they are cut`, async () => {
        const wish = { from: 7, to: 30, numLayers: 3, dtype, rowBytes, wire };
        const values = randomValues(randomFrom(3), 3 * 23 * 20, 10);
        values.set([-0, 1e-42, -3e38, Infinity]);
        const rows = bytesOf(values).slice(0, 3 * 23 * rowBytes);
        const stream = await dial(wish);
        const reader = await source.reader();
        expect(reader.wish).to.deep.equal(wish);
        const sending = sendAll(reader, rows, 9);
        const got = new Uint8Array(rows.length);
        let payloadBytes = 0;
        for (let next = await stream.next(); next !== null; next = await stream.next()) {
          got.set(next.rows, (next.layer * 23 + next.token - 7) * rowBytes);
          payloadBytes += next.payloadBytes;
        }
        await sending;
        stream.close();
        expect(payloadBytes).to.equal(3 * 23 * sentBytes);
        const expected = wire === dtype ? rows : bytesOf(values.map(roundedToBf16));
        expect(Buffer.compare(got, expected)).to.equal(0);
        await gone(reader);
      });
    }

    it('are for nobody who doesn’t know the token of a lease that is in force', async () => {
      const wish = { from: 0, to: 1, wire: 'f32', ...SHAPE } as const;
      await rejection(dial(wish, { token: 'c'.repeat(64) }), 'AUTH_FAILED');
      await rejection(dial(wish, { id: 'c'.repeat(32) }), 'AUTH_FAILED');
      (await dial(wish)).close();
      source.isOver = true;
      await rejection(dial(wish), 'AUTH_FAILED');
    });

    it('leave no faster than the target takes them', async () => {
      const rowBytes = 2 ** 20; // a frame each
      const wish = { from: 0, to: 96, wire: 'f32', numLayers: 1, dtype: 'f32', rowBytes } as const;
      expect(rowsPerFrame(wish)).to.equal(1);
      const stream = await dial(wish);
      const reader = await source.reader();
      let numSent = 0;
      const sending = (async () => {
        for (let token = 0; token < 96; token++) {
          await reader.send({ layer: 0, token, rows: new Uint8Array(rowBytes).fill(token) });
          numSent++;
          await turn();
        }
      })();
      for (let numQuiet = 0, before = -1; numQuiet < 50; before = numSent) {
        numQuiet = numSent === before ? numQuiet + 1 : 0;
        await turn();
      }
      expect(numSent).to.be.below(64);
      for (let token = 0; token < 96; token++) expect((await stream.next())!.rows[1]).to.equal(token);
      expect(await stream.next()).to.equal(null);
      await sending;
      stream.close();
    }).timeout(20_000);

    it('break off with the source’s reason, behind what it sent before', async () => {
      const stream = await dial({ from: 0, to: 2, wire: 'f32', ...SHAPE });
      const reader = await source.reader();
      await reader.send({ layer: 0, token: 0, rows: new Uint8Array(80) });
      reader.end(new CommError('LIMIT', 'there is no more of it'));
      expect((await stream.next())!.layer).to.equal(0);
      expect((await rejection(stream.next(), 'LIMIT')).message).to.contain('there is no more of it');
      stream.close();
      await gone(reader);
    });

    it('end at the source when the target wants no more, and what it sends then is nobody’s', async () => {
      const stream = await dial({ from: 0, to: 2, wire: 'f32', ...SHAPE });
      const reader = await source.reader();
      stream.close();
      stream.close();
      await gone(reader);
      await reader.send({ layer: 0, token: 0, rows: new Uint8Array(80) });
      reader.end(new CommError('CLOSED', 'late'));
      await rejection(stream.next(), 'ABORTED');
    });

    it('end at the target when the source’s door closes', async () => {
      const stream = await dial({ from: 0, to: 2, wire: 'f32', ...SHAPE });
      await source.reader();
      const failing = stream.next().catch((error: unknown) => error as CommError);
      await source.door.close();
      expect(await failing).to.be.instanceOf(CommError);
      stream.close();
      await rejection(dial({ from: 0, to: 2, wire: 'f32', ...SHAPE }), 'UNREACHABLE');
    });

    it('come as whole blocks, each bit by bit, of any length, and each when its last piece is there', async () => {
      const sizes = { rowBytes: 2 ** 20 + 12, stateBytes: 40 };
      const keys = ['a', 'b', 'c'].map((key) => key.repeat(32));
      const target = await dialBlocks({ first: 5, ...sizes }, keys);
      const reader = await source.blocksReader();
      expect(reader.wish).to.deep.equal({ first: 5, numBlocks: 3, ...sizes });
      const random = randomFrom(4);
      const all = keys.map((_, i) => {
        const numBytes = sizes.rowBytes + (i === 1 ? sizes.stateBytes : 0);
        return Uint8Array.from({ length: numBytes }, () => random() * 256);
      });
      const sending = (async () => {
        for (const [i, key] of keys.entries()) await reader.send({ at: 5 + i, key, bytes: all[i]! });
      })();
      for (const [i, bytes] of all.entries()) {
        const block = (await target.next())!;
        expect([block.at, block.key]).to.deep.equal([5 + i, keys[i]]);
        expect(Buffer.compare(block.bytes, bytes)).to.equal(0);
      }
      expect(await target.next()).to.equal(null);
      await sending;
      target.close();
    });

    it('are no block of another key, nor half of one', async () => {
      const sizes = { rowBytes: 8, stateBytes: 0 };
      const other = await dialBlocks({ first: 0, ...sizes }, ['a']);
      await (await source.blocksReader()).send({ at: 0, key: 'b', bytes: new Uint8Array(8) });
      await rejection(other.next(), 'PROTOCOL');
      other.close();
      const cut = await dialBlocks({ first: 0, ...sizes }, ['a', 'b']);
      const reader = await source.blocksReader();
      await reader.send({ at: 0, key: 'a', bytes: new Uint8Array(8) });
      reader.end(new CommError('CLOSED', 'it is gone'));
      expect((await cut.next())!.at).to.equal(0);
      await rejection(cut.next(), 'CLOSED');
      cut.close();
    });

    it('are not waited for by who was told to stop', async () => {
      await rejection(
        dial({ from: 0, to: 2, wire: 'f32', ...SHAPE }, {}, AbortSignal.abort(new Error('stop'))),
        'ABORTED',
      );
    });
  });
}

/** A rank that lets others read by one lease. */
class Source {
  readonly door!: KvDoor;
  isOver = false;
  private readonly came: KvReader[] = [];
  private readonly cameForBlocks: KvBlocksReader[] = [];
  private wake: () => void = () => undefined;

  static async open(network: KvNetwork): Promise<Source> {
    const source = new Source();
    const door = await network.open({
      tokenOf: (lease) => (lease === LEASE.id && !source.isOver ? LEASE.token : null),
      onReader: (_, reader) => {
        source.came.push(reader);
        source.wake();
      },
      onBlocksReader: (_, reader) => {
        source.cameForBlocks.push(reader);
        source.wake();
      },
    });
    return Object.assign(source, { door });
  }

  async reader(): Promise<KvReader> {
    while (this.came.length === 0) await new Promise<void>((resolve) => (this.wake = resolve));
    return this.came.shift()!;
  }

  async blocksReader(): Promise<KvBlocksReader> {
    while (this.cameForBlocks.length === 0) await new Promise<void>((resolve) => (this.wake = resolve));
    return this.cameForBlocks.shift()!;
  }
}

/** Layer by layer, so many tokens at a time; `rows`: [layers, tokens, bytes]. */
async function sendAll(reader: KvReader, rows: Uint8Array, most: number): Promise<void> {
  const { from, to, numLayers, rowBytes } = reader.wish;
  for (let layer = 0; layer < numLayers; layer++) {
    for (let token = from; token < to; token += most) {
      const end = Math.min(to, token + most);
      const at = (at: number): number => (layer * (to - from) + at - from) * rowBytes;
      await reader.send({ layer, token, rows: rows.slice(at(token), at(end)) });
    }
  }
}

async function gone({ gone: signal }: KvReader): Promise<void> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}

/** Nearest, ties to even. */
function roundedToBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0]!;
}

const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
