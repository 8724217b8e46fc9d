/** How a report looks on a screen and on paper: tables with rules above and below, as papers have them; no colour says anything alone. */
export const STYLE = `
:root { color-scheme: light; --ink: #1c1c1c; --quiet: #666; --rule: #c9c9c9; --blue: #005a9e; --red: #a8400a; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 16px/1.5 system-ui, "Liberation Sans", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.25rem 0 .5rem; }
p, dl, ul { max-width: 46rem; margin: .6rem 0; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; margin-bottom: 1.25rem; padding-bottom: .75rem; border-bottom: 1px solid var(--rule); font-size: .9rem; }
a { color: var(--blue); }
code { font: .875em ui-monospace, "Liberation Mono", monospace; overflow-wrap: anywhere; }
pre { margin: .75rem 0; padding: .75rem 1rem; overflow: auto; background: #f6f6f6; border: 1px solid #e3e3e3; border-radius: 4px; line-height: 1.4; }
pre code { font-size: .8rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .9rem; max-width: none; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
aside { margin: 1rem 0; padding: .25rem 1rem; border-left: 4px solid var(--red); background: #fdf4ee; }
aside p::before { content: "Note. "; font-weight: 700; color: var(--red); }
.caption { margin: 1.25rem 0 0; }
.table { overflow-x: auto; margin: 0 0 1.25rem; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.35; font-variant-numeric: tabular-nums; border-top: 2px solid var(--ink); border-bottom: 2px solid var(--ink); }
.caption, figcaption { font-size: .875rem; color: #333; padding-bottom: .4rem; max-width: 46rem; line-height: 1.4; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: baseline; font-weight: normal; white-space: nowrap; }
th.figure, td.figure { text-align: right; }
th:last-child, td:last-child { padding-right: 0; }
thead th { border-bottom: 1px solid var(--ink); font-weight: 600; vertical-align: bottom; white-space: normal; }
thead small { display: block; font-weight: normal; color: var(--quiet); }
tbody tr:nth-child(even) { background: #f7f7f7; }
td:last-child { white-space: normal; }
.better { color: var(--blue); font-weight: 600; } .worse { color: var(--red); font-weight: 600; } .alarm { color: var(--red); font-weight: 600; }
.strong { font-weight: 600; } .quiet { color: var(--quiet); }
figure { margin: 0; } figure svg { width: 100%; max-width: 34rem; height: auto; display: block; }
figure.wide { grid-column: 1 / -1; } figure.wide svg { max-width: 100%; }
figcaption { padding: .4rem 0 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 1.75rem 2rem; align-items: start; margin: 1.5rem 0; }
summary { cursor: pointer; margin-top: 1rem; } summary h2 { display: inline; }
@media print {
  @page { margin: 18mm 16mm; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; } nav { display: none; }
  figure, tr, aside { break-inside: avoid; } h2, .caption { break-after: avoid; }
  .table { overflow: visible; } pre { white-space: pre-wrap; } a { color: inherit; text-decoration: none; }
}
`;
