import { expect } from 'chai';
import fc from 'fast-check';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createLocalMeshes, type WireCodec } from '../../../comm/index.js';
import type { Plugin, PluginApi } from '../../../lib/plugins/plugin.js';
import { endpointsWith, roundTripOf, tagOf, withMeshes } from '../../kit/comm/all_to_all.js';
import { inputsOf } from '../../kit/comm/exact_all_to_all.js';
import { repoRoot } from '../../kit/paths.js';

async function int4(): Promise<WireCodec> {
  const url = pathToFileURL(join(repoRoot(), 'examples/plugins/int4.mjs')).href;
  const { default: register } = (await import(url)) as { default: Plugin };
  const codecs = new Map<string, WireCodec>();
  const registerCodec: PluginApi['registerCodec'] = (name, codec) => void codecs.set(name, codec);
  await register({ registerCodec } as PluginApi, {});
  return codecs.get('int4')!;
}

/** What a row becomes, by the definition: the nearest of −7 … 7 sevenths of the largest value of its group. */
function refRow(row: Float32Array): number[] {
  return [...row].map((x, c) => {
    const start = 32 * Math.floor(c / 32);
    const most = Math.max(Math.fround(1e-30), ...row.subarray(start, start + 32).map(Math.abs));
    return Math.fround((Math.round((7 * x) / most) * most) / 7);
  });
}

function travelled(codec: WireCodec, row: Float32Array): Float32Array {
  const bytes = new Uint8Array(codec.rowBytes(row.length));
  const out = new Float32Array(row.length);
  codec.encode(row.slice(), bytes);
  codec.decode(bytes, out);
  return out;
}

describe('examples/plugins/int4.mjs', () => {
  it('keeps of each value the nearest of 15 steps of its group of 32, in 5 bits', async () => {
    const codec = await int4();
    expect([32, 64, 2048].map((hidden) => codec.rowBytes(hidden))).to.deep.equal([20, 40, 1280]);
    fc.assert(
      fc.property(
        fc.float32Array({
          minLength: 1,
          maxLength: 70,
          noNaN: true,
          noDefaultInfinity: true,
          min: Math.fround(-1e30),
          max: Math.fround(1e30),
        }),
        (row) => {
          expect([...travelled(codec, row)].map((x) => x + 0)).to.deep.equal(refRow(row).map((x) => x + 0));
        },
      ),
    );
  });

  it('gives the same sums on every route where rows come back by choice', async () => {
    const codec = await int4();
    const shape = { size: 4, hidden: 67, numTopk: 3, slotsPerRank: 2 };
    const inputs = inputsOf([6, 0, 9, 3], shape, 2);
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const sums = [];
      for (const [step, route] of (['flat', 'hierarchical'] as const).entries()) {
        const wire = { dispatch: codec, combine: codec };
        const options = { reduce: 'source', topology: { ranksPerNode: 2, route }, wire } as const;
        sums.push((await roundTripOf(endpointsWith(meshes, shape, options), shape, inputs, tagOf(step))).y);
      }
      expect(sums[0]).to.deep.equal(sums[1]);
    });
  });
});
