/** Which experts each kind of text heats. Pure. Shape suffixes: L MoE layers, E logical experts. */
import type { PlotSpec } from '../spec.js';
import { heading, highestOf, loadMap, MAP_WIDTH } from './maps.js';

/** The choices of one text's tokens. */
export interface TextHeat {
  readonly label: string;
  /** [L][E] */
  readonly load_LE: readonly ArrayLike<number>[];
}

/** More layers than this are too many to see. */
const MAX_LAYERS = 6;

/** A map per MoE layer, of not more than {@link MAX_LAYERS} that are spread evenly. */
export function textMaps(texts: readonly TextHeat[]): PlotSpec {
  const numLayers = texts[0]!.load_LE.length;
  const shown = Array.from({ length: Math.min(MAX_LAYERS, numLayers) }, (_, i) =>
    Math.round((i * (numLayers - 1)) / Math.max(1, Math.min(MAX_LAYERS, numLayers) - 1)),
  );
  const highest = Math.max(...shown.map((layer) => highestOf(texts.map(({ load_LE }) => load_LE[layer]!))));
  const some = numLayers > MAX_LAYERS ? ` ${MAX_LAYERS} of ${numLayers} layers are shown.` : '';
  const caption = `How often the tokens of each text chose each expert, as a multiple of the text's mean.${some}`;
  const maps = shown.map((layer, i) =>
    loadMap({
      title: heading(
        i === 0 ? `Experts that texts heat: MoE layer ${layer}` : `MoE layer ${layer}`,
        i === 0 ? caption : '',
      ),
      ...{ column: 'expert', row: 'text', names: texts.map(({ label }) => label) },
      loads: texts.map(({ load_LE }) => load_LE[layer]!),
      ...{ width: MAP_WIDTH, highest },
    }),
  );
  return { vconcat: maps, spacing: 10, resolve: { scale: { color: 'shared' } } };
}
