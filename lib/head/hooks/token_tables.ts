/** The rows that a rank told of one part of a step, token by token. Pure. */
import { choicesOf } from '../../../experts/load/recording.js';
import type { TableName } from '../../protocol/look.js';
import type { PlanPart, SequenceOutput } from '../../protocol/step_plan.js';

/** Of one output. */
export class TokenTables {
  /** `moeLayers`: of the model. */
  constructor(
    private readonly part: Pick<PlanPart, 'tokenIds'>,
    private readonly output: Pick<SequenceOutput, 'tables' | 'routedExperts'>,
    private readonly moeLayers: readonly number[],
  ) {}

  /** Of a token, counted from the part's first; null: no look at this table is at it. */
  row(table: TableName, layer: number, token: number): Float32Array | Int32Array | null {
    const { routedExperts, tables = [] } = this.output;
    if (table === 'experts' && routedExperts !== undefined) return this.routed(routedExperts, layer, token);
    const found = tables.find((each) => each.table === table && each.layer === layer);
    if (found === undefined) return null;
    const { tokens, rows } = found;
    const row = tokens === null ? token : tokens.indexOf(token);
    if (row < 0) return null;
    const length = rows.length / (tokens ?? this.part.tokenIds).length;
    return rows.subarray(row * length, (row + 1) * length);
  }

  /** Where the request asks for all experts they aren't told twice: [n·L·K]. */
  private routed(experts: Uint16Array, layer: number, token: number): Int32Array {
    const numLayers = this.moeLayers.length;
    const numTopk = experts.length / (this.part.tokenIds.length * numLayers);
    const from = (token * numLayers + this.moeLayers.indexOf(layer)) * numTopk;
    return choicesOf(experts.subarray(from, from + numTopk));
  }
}
