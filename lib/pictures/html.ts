/** Pictures as a page. */
import { HOVER_SCRIPT, HOVER_STYLE } from './hover.js';
import type { PlotSpec } from './spec.js';

/**
 * A page around an SVG that needs nothing else, whose marks say their numbers to those who point at them, with the specification that it was made from for other
 * tools. Why: docs/decisions/pictures.md#a-page-needs-nothing-else
 */
export function htmlPage(title: string, svg: string, spec: PlotSpec): string {
  const json = JSON.stringify(spec).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(title)}</title>
<style>body { margin: 1rem; background: #fff; } svg { width: 100%; max-width: 1100px; height: auto; display: block; margin: auto; }</style>
${HOVER_STYLE}
</head>
<body>
${svg}
<script type="application/vnd.vegalite.v6+json">${json}</script>
${HOVER_SCRIPT}
</body>
</html>
`;
}

/** Text as it stands in elements and attributes. */
export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
