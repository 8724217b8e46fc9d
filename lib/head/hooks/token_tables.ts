/** The rows that a rank told of one part of a step, token by token. Pure. */
import { tokensAt, type LookedPart, type Sight, type TableName } from '../../protocol/look.js';
import type { SequenceOutput } from '../../protocol/step_plan.js';

/** Of one output. */
export class TokenTables {
  /** By table and layer: the rows, and the tokens that they are of. */
  private readonly tables = new Map<
    string,
    { readonly tokens: readonly number[]; readonly rows: Float32Array | Int32Array }
  >();

  /** `sights`: of all looks at the sequence; `moeLayers`: of the model. */
  constructor(
    sights: readonly Sight[],
    private readonly part: LookedPart,
    private readonly output: Pick<SequenceOutput, 'tables' | 'routedExperts'>,
    private readonly moeLayers: readonly number[],
  ) {
    for (const { table, layer, rows } of output.tables ?? []) {
      const { looks } = sights.find((sight) => sight.table === table && sight.layer === layer)!;
      this.tables.set(keyOf(table, layer), { tokens: tokensAt(looks, part), rows });
    }
  }

  /** Of a token that a look at this table is at, counted from the part's first. */
  row(table: TableName, layer: number, token: number): Float32Array | Int32Array {
    const { routedExperts } = this.output;
    if (table === 'experts' && routedExperts !== undefined) return this.routed(routedExperts, layer, token);
    const { tokens, rows } = this.tables.get(keyOf(table, layer))!;
    const length = rows.length / tokens.length;
    const row = tokens.indexOf(token);
    return rows.subarray(row * length, (row + 1) * length);
  }

  /** Where the request asks for all experts they aren't told twice: [n·L·K]. */
  private routed(experts: Uint16Array, layer: number, token: number): Int32Array {
    const numLayers = this.moeLayers.length;
    const numTopk = experts.length / (this.part.numTokens * numLayers);
    const from = (token * numLayers + this.moeLayers.indexOf(layer)) * numTopk;
    return Int32Array.from(experts.subarray(from, from + numTopk));
  }
}

const keyOf = (table: TableName, layer: number): string => `${table} ${layer}`;
