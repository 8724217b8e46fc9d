/** How rows travel, by name: dtypes, and codecs of plug-ins, which the all-to-all checks. */
import type { WireOptions } from '../../comm/all_to_all/contract/all_to_all_contract.js';
import type { WireCodec } from '../../comm/codec/wire_codec.js';
import type { WireDtype } from '../../comm/codec/wire_dtype.js';
import type { PluginRegistry, Registered } from './plugin_registry.js';

/** As in `comm.wire`. */
export interface WireNames {
  readonly dispatch: string;
  readonly combine: string;
}

/** What plug-ins brought of them. */
export type Codecs = Pick<PluginRegistry, 'codecs'>;

/** What an all-to-all is made with. Errors call a codec by its name and its plug-in. */
export function wireNamed({ dispatch, combine }: WireNames, { codecs }: Codecs): Required<WireOptions> {
  const named = (name: string): WireDtype | WireCodec => {
    const owner = codecs.get(name);
    return owner === undefined ? (name as WireDtype) : ownedBy(owner);
  };
  const out = named(dispatch);
  return { dispatch: out, combine: combine === dispatch ? out : named(combine) };
}

/** As somebody may have written it: what it gives, a promise say, is for the all-to-all to refuse. */
type ForeignCodec = {
  readonly [K in 'encode' | 'decode']: (...arrays: Parameters<WireCodec[K]>) => unknown;
};

function ownedBy({ plugin, brought, value }: Registered<WireCodec>): WireCodec {
  const foreign: ForeignCodec = value;
  return {
    name: `"${brought.name}" of plug-in ${plugin}`,
    rowBytes: (hidden) => value.rowBytes(hidden),
    encode: (row, out): unknown => {
      checkFinite(row, 'the model gave it', 'check the checkpoint, and the weights that gates of plug-ins give');
      return foreign.encode(row, out);
    },
    decode: (bytes, row): unknown => {
      const given = foreign.decode(bytes, row);
      checkFinite(row, 'it gave', 'a model computes with finite numbers alone');
      return given;
    },
  };
}

/** A NaN would be found layers later, and blamed on the checkpoint. @throws RangeError, which the all-to-all tells under the codec's name */
function checkFinite(row: Float32Array, who: string, advice: string): void {
  const channel = row.findIndex((each) => !Number.isFinite(each));
  if (channel >= 0) throw new RangeError(`${who} ${row[channel]} in channel ${channel} of a row (${advice})`);
}
