/** Pictures of how far two models are apart. Pure. */
import { QUANTILES, type ComparedLayer, type ComparisonResult } from '../../compare/comparison.js';
import { perplexityOf } from '../../compare/text_pass.js';
import { figure } from '../figure.js';
import type { PlotSpec } from '../spec.js';
import { CATEGORIES, PAGE_WIDTH, themed, titled } from '../theme.js';

/** Of one of the pictures side by side. */
const WIDTH = 265;
const HEIGHT = 140;

/** What is drawn of layers; none where nothing is known of any. */
const LAYER_PLOTS: readonly {
  readonly title: string;
  readonly axis: string;
  readonly domain?: readonly number[];
  readonly of: (layer: ComparedLayer) => number | null;
}[] = [
  { title: 'Hidden states', axis: '|b − a| / |a|', of: ({ hiddenError }) => hiddenError },
  { title: 'Final norm and head behind each layer', axis: 'KL, nats', of: ({ lens }) => lens?.kl ?? null },
  {
    ...{ title: 'Same experts', axis: 'share of the choices of A', domain: [0, 1] },
    of: ({ routingAgreement }) => routingAgreement,
  },
];

/** Divergence of places, and layers one by one. */
export function comparisonSpec(result: ComparisonResult): { readonly title: string; readonly spec: PlotSpec } {
  const { a, b, kl, top1Agreement, numPlaces } = result;
  const title = `${b.name} against ${a.name}`;
  const [perplexityA, perplexityB] = [a, b].map(({ reading }) => figure(perplexityOf(reading.logprobs)));
  const caption =
    `Mean KL divergence ${figure(kl)} nats over ${numPlaces} places; same most likely token ${figure(100 * top1Agreement)} %; ` +
    `perplexity ${perplexityB!} against ${perplexityA!}.`;
  const plots = [quantilePlot(result.klQuantiles), ...LAYER_PLOTS.flatMap((plot) => layerPlot(plot, result.layers))];
  return {
    title,
    spec: themed({ title: titled(title, caption, PAGE_WIDTH - 10), concat: plots, columns: 2, spacing: 24 }),
  };
}

function quantilePlot(quantiles: readonly number[]): PlotSpec {
  const values = quantiles.map((kl, i) => ({
    ...{ share: QUANTILES[i]!, kl },
    say: `share of places: ${figure(QUANTILES[i]!)}; KL at most: ${figure(kl)} nats`,
  }));
  return linePlot({
    ...{ title: 'Divergence of places', values, x: { field: 'share', title: 'share of places', domain: [0, 1] } },
    y: { field: 'kl', title: 'KL at most, nats' },
  });
}

function layerPlot(
  { title, axis, domain, of }: (typeof LAYER_PLOTS)[number],
  layers: readonly ComparedLayer[],
): PlotSpec[] {
  const values = layers.flatMap((layer) => {
    const value = of(layer);
    return value === null
      ? []
      : [{ layer: layer.layer, value, say: `layer: ${layer.layer}; ${axis}: ${figure(value)}` }];
  });
  if (values.length === 0) return [];
  const x = { field: 'layer', title: 'layer', domain: [0, layers.length - 1], tickMinStep: 1 };
  return [linePlot({ title, values, x, y: { field: 'value', title: axis, ...(domain && { domain }) } })];
}

interface Axis {
  readonly field: string;
  readonly title: string;
  readonly domain?: readonly number[];
  readonly tickMinStep?: number;
}

function linePlot(plot: {
  readonly title: string;
  readonly values: readonly object[];
  readonly x: Axis;
  readonly y: Axis;
}): PlotSpec {
  const channel = ({ field, title, domain, tickMinStep }: Axis): PlotSpec => ({
    ...{ field, type: 'quantitative', scale: domain === undefined ? { zero: true } : { domain } },
    axis: { title, tickCount: 5, ...(tickMinStep && { tickMinStep, format: 'd' }) },
  });
  const [x, y] = [channel(plot.x), channel(plot.y)];
  return {
    ...{ title: { text: plot.title, frame: 'group', offset: 6 }, width: WIDTH, height: HEIGHT },
    data: { values: plot.values },
    layer: [
      { mark: { type: 'line', color: CATEGORIES[0], aria: false }, encoding: { x, y } },
      {
        mark: { type: 'point', color: CATEGORIES[0], filled: true, opacity: 1, size: plot.values.length > 64 ? 6 : 28 },
        encoding: { x, y, description: { field: 'say' } },
      },
    ],
  };
}
