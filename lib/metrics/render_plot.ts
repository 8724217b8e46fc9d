/** From a Vega-Lite specification to a picture, without a browser. */
import type { TopLevelSpec } from 'vega-lite';
import type { PlotSpec } from './balance_plots.js';

/** An SVG document. The libraries are loaded here alone: they take a fifth of a second. */
export async function renderSvg(spec: PlotSpec): Promise<string> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
  const { spec: compiled } = compile(spec as unknown as TopLevelSpec);
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', logLevel: vega.Error });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** A page around an SVG, with the specification that it was made from for other tools. */
export function htmlPage(title: string, svg: string, spec: PlotSpec): string {
  const json = JSON.stringify(spec).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escaped(title)}</title></head>
<body>
${svg}
<script type="application/vnd.vegalite.v6+json">${json}</script>
</body>
</html>
`;
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
