/** Pictures as a page. */
import type { PlotSpec } from './spec.js';

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
