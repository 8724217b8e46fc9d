/** Pictures as data. */

/** A Vega-Lite specification or a part of one: JSON that vega.github.io/editor opens too. */
export type PlotSpec = Readonly<Record<string, unknown>>;
