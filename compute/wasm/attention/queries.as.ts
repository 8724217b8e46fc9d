/** The queries of some rows in scratch memory, multiplied by the softmax's scale. */
import { codeQueriesAcross } from './code_rows.as';
import { codeQueries } from './code_scores.as';
import { IN_PANELS, Lane, ROWS, queriesOf } from './lane.as';
import { INT8 } from '../memory/memory.as';

/** [row][width] for keys in panels; for keys in rows [width][ROWS], zeros where there is no row: queries are the panel then. For keys of int8 whole numbers, as code_scores.as.ts and code_rows.as.ts have them. */
export function gatherQueries(lane: Lane, first: i32, count: i32): void {
  if (lane.dtype == INT8) {
    if (lane.form == IN_PANELS) codeQueries(lane, first, count);
    else codeQueriesAcross(lane, first, count);
    return;
  }
  const to = queriesOf(lane);
  const bytes: usize = (<usize>lane.width) << 2;
  const inPanels = lane.form == IN_PANELS;
  if (!inPanels && count < ROWS) memory.fill(to, 0, <usize>ROWS * bytes);
  let token = first / lane.numHeads;
  let head = first % lane.numHeads;
  for (let row: usize = 0; row < <usize>count; row++) {
    const query = lane.queries + <usize>token * lane.queryTokenBytes + <usize>head * lane.queryHeadBytes;
    if (inPanels) scaleInto(query, bytes, lane.softmaxScale, to + row * bytes);
    else scaleAcross(query, bytes, lane.softmaxScale, to + (row << 2));
    if (++head == lane.numHeads) {
      head = 0;
      token++;
    }
  }
}

function scaleInto(query: usize, bytes: usize, scale: f32, to: usize): void {
  const scales = f32x4.splat(scale);
  for (const end = query + bytes; query < end; query += 16, to += 16)
    v128.store(to, f32x4.mul(v128.load(query), scales));
}

function scaleAcross(query: usize, bytes: usize, scale: f32, to: usize): void {
  for (const end = query + bytes; query < end; query += 4, to += 4 * ROWS) store<f32>(to, load<f32>(query) * scale);
}
