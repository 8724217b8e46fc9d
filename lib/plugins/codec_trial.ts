/**
 * Codecs of plug-ins on a row that is the same everywhere: whether each rank reads the head's bytes as the head does. H channels.
 * Why: docs/decisions/exchange.md#codecs-of-others-see-a-row-at-a-time
 */
import { wireFormsOf } from '../../comm/all_to_all/contract/wire_forms.js';
import { decodeRows, encodeRows, wireRowBytes, type WireForm } from '../../comm/codec/wire_dtype.js';
import { uniform } from '../../base/philox.js';
import { wireNamed, type Codecs, type WireNames } from './codecs.js';
import { PluginError } from './errors.js';

/** What a codec of the head made of the row, and of those bytes. */
export interface CodecTrial {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** [H] */
  readonly floats: Float32Array;
}

/** Of each codec that a job takes from a plug-in. @throws CommError CODEC_FAILED for one that can't carry rows of `hidden` channels */
export function codecTrials({ dispatch, combine }: WireNames, registry: Codecs, hidden: number): readonly CodecTrial[] {
  const brought = [...new Set([dispatch, combine])].filter((name) => registry.codecs.has(name));
  const row = Float32Array.from({ length: brought.length === 0 ? 0 : hidden }, (_, c) => 4 * uniform(0, 0, c) - 2);
  return brought.map((name) => {
    const form = formOf(name, registry, hidden);
    const bytes = new Uint8Array(wireRowBytes(form, hidden));
    encodeRows(form, row, null, 1, hidden, bytes);
    return { name, bytes, floats: decoded(form, bytes, hidden) };
  });
}

/** A rank's codecs beside the head's. @throws PluginError PLUGINS_DIFFER with both sizes, or the first channel that differs; CommError CODEC_FAILED */
export function checkCodecs(trials: readonly CodecTrial[], registry: Codecs, hidden: number, rank: number): void {
  for (const { name, bytes, floats } of trials) {
    const differs = differing(name, registry);
    if (!registry.codecs.has(name)) throw differs(`no plug-in brought it on rank ${rank}`);
    const form = formOf(name, registry, hidden);
    const size = wireRowBytes(form, hidden);
    if (size !== bytes.length) {
      throw differs(`makes rows of ${size} bytes on rank ${rank}, and of ${bytes.length} on the head`);
    }
    const here = decoded(form, bytes, hidden);
    const channel = here.findIndex((value, c) => !Object.is(value, floats[c]));
    if (channel < 0) continue;
    const both = `${here[channel]} on rank ${rank}, and to ${floats[channel]} on the head`;
    throw differs(`decodes channel ${channel} of a trial row to ${both}`);
  }
}

const differing =
  (name: string, { codecs }: Codecs) =>
  (text: string): PluginError => {
    const { plugin = 'of the job', brought = { kind: 'codec', name } as const } = codecs.get(name) ?? {};
    const advice = 'it must do the same everywhere, whatever the machine, its environment and chance say';
    return new PluginError('PLUGINS_DIFFER', `${text}; ${advice}`, { plugin, brought });
  };

const formOf = (name: string, registry: Codecs, hidden: number): WireForm =>
  wireFormsOf(wireNamed({ dispatch: name, combine: name }, registry), hidden).dispatchDtype;

function decoded(form: WireForm, bytes: Uint8Array, hidden: number): Float32Array {
  const floats = new Float32Array(hidden);
  decodeRows(form, bytes, 1, hidden, floats, 0);
  return floats;
}
