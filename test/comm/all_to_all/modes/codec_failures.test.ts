import { expect } from 'chai';
import {
  createAllToAll,
  createLocalMeshes,
  createLowLatencyAllToAll,
  type AllToAll,
  type CommError,
  type WireCodec,
} from '../../../../comm/index.js';
import { endpointsWith, roundTripOf, tagOf, withMeshes } from '../../../kit/comm/all_to_all.js';
import { bf16Codec } from '../../../kit/comm/custom_codecs.js';
import { inputsOf } from '../../../kit/comm/exact_all_to_all.js';
import { rejection, thrown } from '../../../kit/errors.js';

const SHAPE = { size: 2, hidden: 8, numTopk: 1, slotsPerRank: 1 };
const OPTIONS = { hidden: 8, numTopk: 1, slotsPerRank: 1 };
/** A number that none of the rows that are tried first holds; bytes 0x40 and 0x46 as bf16. */
const TRIGGER = 12288;

const asCodec = (given: unknown): WireCodec => given as WireCodec;

/** Codes as bf16, and `fail` where a row begins with {@link TRIGGER}, or what was one arrives. */
const failing = (where: 'encode' | 'decode', fail: (...arrays: (Float32Array | Uint8Array)[]) => unknown): WireCodec =>
  asCodec({
    ...bf16Codec,
    name: 'my_bf16 of ./codecs.mjs',
    [where](from: Float32Array & Uint8Array, to: Float32Array & Uint8Array): unknown {
      const isIt = where === 'encode' ? from[0] === TRIGGER : from[0] === 0x40 && from[1] === 0x46;
      if (isIt) return fail(from, to);
      bf16Codec[where](from, to);
      return undefined;
    },
  });

/** One token of each rank for the other one's expert. */
const inputs = [0, 1].map((rank) => ({
  x: Float32Array.of(TRIGGER, 1, 2, 3, 4, 5, 6, 7),
  topkIdx: Int32Array.of(1 - rank),
  topkWeights: Float32Array.of(1),
}));

const faults: [string, (...arrays: (Float32Array | Uint8Array)[]) => unknown, RegExp][] = [
  [
    'throws',
    () => {
      throw new RangeError('offset is out of bounds');
    },
    /threw RangeError: offset is out of bounds/,
  ],
  ['gives a promise', () => Promise.reject(new Error('too late')), /gave a promise/],
  [
    'transfers an array',
    (_, out) => void structuredClone(out, { transfer: [out.buffer as ArrayBuffer] }),
    /transferred an array/,
  ],
];

function expectNamed({ message }: CommError, what: RegExp): void {
  expect(message).to.contain('codec my_bf16 of ./codecs.mjs: ');
  expect(message).to.match(what);
}

describe('a codec of the caller', () => {
  for (const [what, fail, words] of faults) {
    it(`that ${what} ends the call on its rank, by name, and the mesh goes on`, async () => {
      await withMeshes(createLocalMeshes(2), async (meshes) => {
        const endpoints = (codec: WireCodec, direction: 'dispatch' | 'combine'): AllToAll[] =>
          endpointsWith(meshes, SHAPE, { wire: { [direction]: codec } });
        const encode = failing('encode', fail);
        const decode = failing('decode', fail);
        const expectAll = async (calls: readonly Promise<unknown>[]): Promise<void> => {
          for (const failed of await Promise.all(calls.map((call) => rejection(call, 'CODEC_FAILED'))))
            expectNamed(failed, words);
        };
        const [sending] = endpoints(encode, 'dispatch');
        expectNamed(
          thrown(() => sending!.startDispatch({ ...inputs[0]!, tag: tagOf(0) }), 'CODEC_FAILED'),
          words,
        );
        await expectAll(
          endpoints(decode, 'dispatch').map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf(1) })),
        );
        for (const [i, codec] of [encode, decode].entries()) {
          const back = endpoints(codec, 'combine');
          const received = await Promise.all(
            back.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf(2 + i) })),
          );
          await expectAll(back.map((ep, rank) => ep.combine(received[rank]!.recvX, received[rank]!.handle)));
        }
        for (const mesh of meshes) mesh.advanceEpoch(1);
        const { y } = await roundTripOf(endpointsWith(meshes, SHAPE, {}), SHAPE, inputs, tagOf(0, 0, 1));
        expect(y).to.have.length(2);
      });
    });
  }

  const refused: [string, unknown, RegExp][] = [
    [
      'gives half a byte',
      { ...bf16Codec, rowBytes: () => 0.5 },
      /rowBytes\(8\) gave 0.5; give an integer from 1 to 512/,
    ],
    ['gives no size', { ...bf16Codec, rowBytes: () => undefined }, /rowBytes\(8\) gave undefined/],
    ['gives more than any row needs', { ...bf16Codec, rowBytes: () => 2 ** 40 }, /rowBytes\(8\) gave 1099511627776/],
    [
      'throws when asked for a size',
      { ...bf16Codec, rowBytes: () => expect.fail('no') },
      /rowBytes threw AssertionError: no/,
    ],
    [
      'divides zeros by zero',
      { ...bf16Codec, decode: (_: Uint8Array, row: Float32Array) => row.fill(0 / 0, 3) },
      /a row of zeros came back with NaN in channel 3/,
    ],
    [
      'overflows',
      {
        ...bf16Codec,
        decode: (bytes: Uint8Array, row: Float32Array) => row.forEach((_, c) => (row[c] = 1e38 * bytes[2 * c + 1]!)),
      },
      /a row of numbers from −2 to 2 came back with Infinity in channel 0/,
    ],
    ['writes beyond its row', { ...bf16Codec, rowBytes: () => 15 }, /encode threw RangeError/],
    [
      'gives what only looks like a promise',
      { ...bf16Codec, decode: () => ({ then: () => 0 }) },
      /decode gave a promise/,
    ],
    [
      'is asynchronous',
      { ...bf16Codec, encode: () => Promise.resolve() },
      /encode gave a promise; write the result before it returns/,
    ],
  ];
  for (const [what, codec, words] of refused) {
    it(`that ${what} is refused before anything is sent`, async () => {
      await withMeshes(createLocalMeshes(2), ([mesh]) => {
        for (const wire of [{ dispatch: asCodec(codec) }, { combine: asCodec(codec) }]) {
          for (const make of [
            () => createAllToAll(mesh!, { ...OPTIONS, wire }),
            () => createLowLatencyAllToAll(mesh!, { ...OPTIONS, maxTokensPerRank: 2, wire }),
          ]) {
            const { message } = thrown(make, 'CODEC_FAILED');
            expect(message).to.match(words);
            expect(message).to.contain('codec my_bf16: ');
          }
        }
      });
    });
  }

  for (const [what, codec] of [
    ['lacks a function', { ...bf16Codec, decode: undefined }],
    ['is null', null],
    ['is a function', () => bf16Codec],
  ] as const) {
    it(`that ${what} is refused, naming what is allowed`, async () => {
      await withMeshes(createLocalMeshes(2), ([mesh]) => {
        const { message } = thrown(
          () => createAllToAll(mesh!, { ...OPTIONS, wire: { combine: asCodec(codec) } }),
          'INVALID_ARGUMENT',
        );
        expect(message).to.contain(
          'wire.combine is no codec; pass f32, bf16, fp8, int8 or an object with rowBytes, encode and decode',
        );
      });
    });
  }

  it('sees zeros where it writes, arrays of its own, and may keep and change them all', async () => {
    const kept: (Float32Array | Uint8Array)[] = [];
    const isClean = (out: Float32Array | Uint8Array): boolean =>
      out.byteOffset === 0 && out.every((value) => value === 0);
    const greedy: WireCodec = {
      ...bf16Codec,
      encode(row, out) {
        expect(isClean(out)).to.equal(true);
        bf16Codec.encode(row, out);
        row.fill(NaN);
        kept.push(row, out);
      },
      decode(bytes, row) {
        expect(isClean(row)).to.equal(true);
        bf16Codec.decode(bytes, row);
        bytes.fill(7);
        kept.push(bytes, row);
      },
    };
    const all = inputsOf([5, 4], SHAPE, 3);
    const given = all.map(({ x }) => x.slice());
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const endpoints = endpointsWith(meshes, SHAPE, { wire: { dispatch: greedy, combine: greedy } });
      const { y } = await roundTripOf(endpoints, SHAPE, all, tagOf(0));
      const sums = y.map((rows) => rows.slice());
      for (const array of kept) array.fill(99);
      expect(y).to.deep.equal(sums);
      expect(all.map(({ x }) => x)).to.deep.equal(given);
      const builtIn = endpointsWith(meshes, SHAPE, { wire: { dispatch: 'bf16', combine: 'bf16' } });
      expect((await roundTripOf(builtIn, SHAPE, all, tagOf(1))).y).to.deep.equal(sums);
    });
  });

  it('that a peer lacks, or has with rows of another size, is told with both', async () => {
    const wide: WireCodec = {
      ...bf16Codec,
      rowBytes: (hidden) => 2 * hidden + 2,
      decode: (bytes, row) => bf16Codec.decode(bytes.slice(0, 16), row),
    };
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const refusals = (other: WireCodec | 'bf16', step: number): Promise<CommError[]> =>
        Promise.all(
          meshes.map((mesh, rank) => {
            const ep = createAllToAll(mesh, { ...OPTIONS, wire: { dispatch: rank === 0 ? bf16Codec : other } });
            return rejection(ep.dispatch({ ...inputs[rank]!, tag: tagOf(step) }), 'PROTOCOL');
          }),
        );
      const dtypes = await refusals('bf16', 0);
      expect(dtypes[0]!.message).to.contain('wire dtype bf16, custom here');
      expect(dtypes[1]!.message).to.contain('wire dtype custom, bf16 here');
      const sizes = await refusals(wide, 1);
      expect(sizes[0]!.message).to.contain('24 payload bytes, 22 expected for 1 rows');
      expect(sizes[1]!.message).to.contain('22 payload bytes, 24 expected for 1 rows');
    });
  });
});
