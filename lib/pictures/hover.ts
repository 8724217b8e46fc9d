/**
 * What makes the marks of SVGs in a page say their numbers to those who point at them: the texts that screen readers get. The picture itself stays what it is on paper.
 * Why: docs/decisions/pictures.md#a-page-needs-nothing-else
 */

/** For the head of a page. */
export const HOVER_STYLE = `<style>
#mark-says { position: fixed; z-index: 9; display: none; pointer-events: none; max-width: 24rem; padding: .35rem .6rem; background: #fff; color: #222;
  border: 1px solid #999; border-radius: 4px; box-shadow: 0 1px 4px #0003; font: 13px/1.4 Arial, "Liberation Sans", sans-serif; }
#mark-says table { border: 0; border-collapse: collapse; } #mark-says th, #mark-says td { border: 0; padding: 0 .6rem 0 0; background: none; text-align: left; font-size: 13px; white-space: normal; }
#mark-says th { font-weight: normal; color: #666; } #mark-says td { padding: 0; font-variant-numeric: tabular-nums; }
svg text, svg [aria-hidden=true] { pointer-events: none; }
.pointed-at { stroke: #000 !important; stroke-width: 1.5px !important; }
@media print { #mark-says { display: none !important; } }
</style>`;

/** A mark is found from so many pixels away, where none lies under the pointer. */
const REACH = 24;
/** Pictures of more marks than this are maps, whose cells leave no gaps. */
const MOST_SEARCHED = 2000;

/** For the end of a page's body. 'a: 1; b: 2' is shown as a row for each part. */
export const HOVER_SCRIPT = `<script>
(() => {
  // A line has but one text for all of its points.
  const MARKS = '[role="graphics-symbol"][aria-label*=": "]:not([aria-roledescription^="line"], [aria-roledescription^="area"])';
  const box = document.body.appendChild(document.createElement('div'));
  box.id = 'mark-says';
  let current = null;
  const nearest = (svg, x, y) => {
    const marks = svg.querySelectorAll(MARKS);
    if (marks.length > ${MOST_SEARCHED}) return null;
    let [best, least] = [null, ${REACH}];
    for (const mark of marks) {
      const { left, right, top, bottom } = mark.getBoundingClientRect();
      const distance = Math.hypot(x - (left + right) / 2, y - (top + bottom) / 2);
      if (distance < least) [best, least] = [mark, distance];
    }
    return best;
  };
  const show = (mark) => {
    if (mark === current) return;
    current?.classList.remove('pointed-at');
    current = mark;
    box.style.display = mark === null ? 'none' : 'block';
    if (mark === null) return;
    mark.classList.add('pointed-at');
    const rows = mark.getAttribute('aria-label').split('; ').map((part) => {
      const row = document.createElement('tr');
      const at = part.indexOf(': ');
      row.appendChild(document.createElement('th')).textContent = at < 0 ? '' : part.slice(0, at);
      row.appendChild(document.createElement('td')).textContent = at < 0 ? part : part.slice(at + 2);
      return row;
    });
    const table = document.createElement('table');
    table.append(...rows);
    box.replaceChildren(table);
  };
  const place = (x, y) => {
    const { width, height } = box.getBoundingClientRect();
    box.style.left = Math.max(4, x + 14 + width > innerWidth ? x - 14 - width : x + 14) + 'px';
    box.style.top = Math.max(4, y + 14 + height > innerHeight ? y - 14 - height : y + 14) + 'px';
  };
  const point = ({ target, clientX, clientY }) => {
    const svg = target.closest?.('svg') ?? null;
    show(svg === null ? null : (target.closest(MARKS) ?? nearest(svg, clientX, clientY)));
    if (current !== null) place(clientX, clientY);
  };
  addEventListener('pointermove', point);
  addEventListener('pointerdown', point);
  addEventListener('scroll', () => show(null), { passive: true });
})();
</script>`;
