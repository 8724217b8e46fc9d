import { expect } from 'chai';
import { checkCodecs, codecTrials } from '../../../lib/plugins/codec_trial.js';
import { PluginError } from '../../../lib/plugins/errors.js';
import { loadPlugins } from '../../../lib/plugins/load_plugins.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { errorOf } from '../../kit/rejects.js';

/** Each value as a byte of 1/64; with `scale`, as a byte of that; with `room`, in rows of so many bytes more. */
const BYTES = `export default (api, { scale = 64, room = 0 }) => api.registerCodec('bytes', {
  rowBytes: (hidden) => hidden + room,
  encode: (row, out) => new Int8Array(out.buffer).set(row.map((x) => scale * x)),
  decode: (bytes, row) => row.forEach((_, c) => (row[c] = new Int8Array(bytes.buffer)[c] / scale)),
});`;
const NAMES = { dispatch: 'bytes', combine: 'f32' };

const registryOf = (options: Readonly<Record<string, unknown>>): Promise<PluginRegistry> =>
  withPlugins(
    { 'bytes.mjs': BYTES },
    async (path) => (await loadPlugins([{ path: path('bytes.mjs'), options }])).registry,
  );

const refusal = async (registry: PluginRegistry): Promise<string> => {
  const trials = codecTrials(NAMES, await registryOf({}), 8);
  const error = await errorOf(PluginError, () => checkCodecs(trials, registry, 8, 3));
  expect(error.code).to.equal('PLUGINS_DIFFER');
  return error.message;
};

describe('codecs of plug-ins on a row that is the same everywhere', () => {
  it('pass where they do what those of the head do; dtypes have no trial', async () => {
    const [head, rank] = [await registryOf({}), await registryOf({})];
    const trials = codecTrials({ dispatch: 'bytes', combine: 'bytes' }, head, 8);
    expect(trials.map(({ name, bytes }) => [name, bytes.length])).to.deep.equal([['bytes', 8]]);
    checkCodecs(trials, rank, 8, 1);
    expect(codecTrials({ dispatch: 'bf16', combine: 'f32' }, head, 8)).to.deep.equal([]);
  });

  it('are refused where they read other floats, need other bytes, or are missing, with both', async () => {
    expect(await refusal(await registryOf({ scale: 32 }))).to.match(
      /plug-in \S+bytes\.mjs, codec "bytes": decodes channel 0 of a trial row to -?[\d.]+ on rank 3, and to -?[\d.]+ on the head; it must/,
    );
    expect(await refusal(await registryOf({ room: 2 }))).to.match(
      /codec "bytes": makes rows of 10 bytes on rank 3, and of 8 on the head;/,
    );
    expect(await refusal(new PluginRegistry())).to.match(/codec "bytes": no plug-in brought it on rank 3;/);
  });
});
