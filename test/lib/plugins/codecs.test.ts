import { expect } from 'chai';
import { CommError, type WireCodec } from '../../../comm/index.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { loadConfig } from '../../../lib/config/load.js';
import { wireNamed } from '../../../lib/plugins/codecs.js';
import { loadPlugins } from '../../../lib/plugins/load_plugins.js';
import { BF16_PLUGIN } from '../../kit/bf16_plugin.js';
import { generateIds, scoreIds } from '../../kit/engine/engines.js';
import { startLocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { shuffling } from '../../kit/engine/plannings.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { repoRoot, tinyModel } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { errorOf } from '../../kit/rejects.js';
import { isSameBits } from '../../refs/random.js';

const MODEL = tinyModel('tiny-qwen3-moe');
const PROMPT = tinyGolden('tiny-qwen3-moe').prompt_token_ids;
const wireKeys = (plugin: string, name: string): string[] => [
  `plugins=[${plugin}]`,
  `comm.wire.dispatch=${name}`,
  `comm.wire.combine=${name}`,
];

/** What a job gives: logits of the prompt, and 16 tokens behind it. */
async function run(
  options: LocalEngineOptions,
): Promise<{ logits: Float32Array; tokenIds: readonly number[]; numMoved: number }> {
  const local = await startLocalEngine(MODEL, options);
  try {
    const { tokenIds } = await generateIds(local.engine, { promptTokenIds: PROMPT, maxNewTokens: 16 });
    const { logits } = await scoreIds(local.engine, PROMPT);
    return { logits, tokenIds, numMoved: local.rebalances.filter(({ kind }) => kind === 'done').length };
  } finally {
    await local.close();
  }
}

const errorOfConfig = (plugin: string, name: string): Promise<CommError> =>
  errorOf(CommError, async () =>
    openModel(await loadConfig({ base: { model: MODEL }, overrides: wireKeys(plugin, name) })),
  );

describe('codecs of plug-ins', () => {
  it('stand for their names, and dtypes for theirs; one codec for both ways stays one', async () => {
    await withPlugins({ 'mine.mjs': BF16_PLUGIN }, async (path) => {
      const { registry } = await loadPlugins([{ path: path('mine.mjs'), options: { name: 'b' } }]);
      expect(wireNamed({ dispatch: 'fp8', combine: 'f32' }, registry)).to.deep.equal({
        dispatch: 'fp8',
        combine: 'f32',
      });
      const { dispatch, combine } = wireNamed({ dispatch: 'b', combine: 'b' }, registry);
      expect(dispatch).to.equal(combine);
      expect(dispatch).to.have.property('name', `"b" of plug-in ${path('mine.mjs')}`);
    });
  });

  it('that are handed what is no number say who may have made it', async () => {
    await withPlugins({ 'mine.mjs': BF16_PLUGIN }, async (path) => {
      const { registry } = await loadPlugins([{ path: path('mine.mjs'), options: {} }]);
      const { combine } = wireNamed({ dispatch: 'f32', combine: 'my_bf16' }, registry);
      expect(() => (combine as WireCodec).encode(Float32Array.of(1, Infinity), new Uint8Array(4))).to.throw(
        RangeError,
        'the model gave it Infinity in channel 1 of a row (check the checkpoint, and the weights that gates of plug-ins give)',
      );
    });
  });

  it('give the bits of the dtype that they reimplement, on any ranks, with micro-batches and while experts move', async () => {
    await withPlugins({ 'mine.mjs': BF16_PLUGIN }, async (path) => {
      const custom = wireKeys(path('mine.mjs'), 'my_bf16');
      const expected = await run({ numRanks: 2, set: ['comm.wire.dispatch=bf16', 'comm.wire.combine=bf16'] });
      const always = ['enabled=true', 'step_interval=2', 'window_size=2', 'min_gain=0', 'cool_down=0'];
      const moving = always.map((key) => `load_balance.${key}`);
      for (const options of [
        { numRanks: 1, set: custom },
        { numRanks: 2, set: custom },
        { numRanks: 4, set: custom, microBatches: 2 },
        { numRanks: 3, set: [...custom, ...moving], planning: shuffling() },
      ]) {
        const { logits, tokenIds, numMoved } = await run(options);
        expect(isSameBits(logits, expected.logits), `${options.numRanks} ranks`).to.equal(true);
        expect(tokenIds).to.deep.equal(expected.tokenIds);
        if (options.planning !== undefined) expect(numMoved).to.be.above(0);
      }
    });
  });

  it('that lose bits, as examples/plugins/int4.mjs, lose the same ones on any ranks', async () => {
    const set = wireKeys(`${repoRoot()}/examples/plugins/int4.mjs`, 'int4');
    const [one, three] = [await run({ numRanks: 1, set }), await run({ numRanks: 3, set })];
    expect(isSameBits(one.logits, three.logits)).to.equal(true);
    expect(isSameBits(one.logits, (await run({ numRanks: 1 })).logits)).to.equal(false);
  });

  it('that can not carry a row are refused by the head, with the plug-in and the name', async () => {
    const codec = (body: string): string => `export default (api) => api.registerCodec('odd', { ${body} });`;
    const encodes = 'rowBytes: () => 4, encode() {},';
    for (const [body, message] of [
      ['rowBytes: () => -1, encode() {}, decode() {}', /rowBytes\(48\) gave -1; give an integer from 1 to 3072$/],
      [
        `${encodes} decode: (bytes, row) => { row[5] = NaN; }`,
        /decode threw RangeError: it gave NaN in channel 5 of a row/,
      ],
      [
        `${encodes} decode() { throw new Error('no\\u001b[2J'); }`,
        /decode threw Error: no\\u001b\[2J; look at its code$/,
      ],
      [`${encodes} async decode() {}`, /decode gave a promise;/],
    ] as const) {
      await withPlugins({ 'odd.mjs': codec(body) }, async (path) => {
        const { code, message: got } = await errorOfConfig(path('odd.mjs'), 'odd');
        expect(code).to.equal('CODEC_FAILED');
        expect(got).to.contain(`CODEC_FAILED: codec "odd" of plug-in ${path('odd.mjs')}: `);
        expect(got).to.match(message);
      });
    }
  });

  it('that give what is no number in a running job end it with the plug-in, the name and the channel', async () => {
    const text = BF16_PLUGIN.replace('code * 65536));', '$& if (numRows++ > 50) row[3] = NaN;');
    await withPlugins({ 'hot.mjs': text }, async (path) => {
      const set = [...wireKeys(path('hot.mjs'), 'my_bf16')];
      for (const onPeerLoss of ['fail', 'mask'] as const) {
        const error = await errorOf(Error, () => run({ numRanks: 3, set, onPeerLoss }));
        expect(error.message).to.match(
          /^RANK_FAILED: rank \d failed in step \d+: CODEC_FAILED: codec "my_bf16" of plug-in \S+hot\.mjs: decode threw RangeError: it gave NaN in channel 3 of a row/,
        );
      }
    });
  });

  it('that nobody brought are refused, with the names that there are', async () => {
    const { message } = await errorOf(Error, () =>
      loadConfig({ base: { model: MODEL }, overrides: ['comm.wire.combine=int5'] }),
    );
    expect(message).to.match(
      /"comm\.wire\.combine" is "int5" \(did you mean "int8"\?\); allowed is f32, bf16, fp8, int8; or list a plug-in/,
    );
    const named = errorOf(Error, async () =>
      openModel(
        await loadConfig({
          base: { model: MODEL },
          overrides: wireKeys(`${repoRoot()}/examples/plugins/int4.mjs`, 'int3'),
        }),
      ),
    );
    expect((await named).message).to.match(
      /"comm\.wire\.dispatch" is "int3" \(did you mean "int\d"\?\); allowed is f32, bf16, fp8, int8, int4; no plug-in brought a codec/,
    );
  });
});
