/** What a rank tells of a step's tokens from inside the model: for the tokens that looks are at, and no others. Shape suffixes: H hidden, E experts, K choices per token. */
import { contiguous } from '../../base/float_rows.js';
import type { Routing } from '../../compute/base/gate_spec.js';
import type { MoeLook } from '../../experts/layer/moe_look.js';
import type { MoeTokens } from '../../experts/layer/moe_tokens.js';
import { expertSizesOf, gateOf, type ModelSpec } from '../model/spec/spec.js';
import type { HiddenStates } from '../model/decoder/decoder.js';
import type { StepLooks } from '../model/transformer.js';
import { sightsOf, tokensAt, type LookTable, type TableName } from '../protocol/look.js';
import type { OutputExchanges, PlanPart, SequenceWants } from '../protocol/step_plan.js';

/** A sequence's part of a step, and what is wanted of it. */
export interface LookedSequence {
  readonly part: PlanPart;
  readonly numPromptTokens: number;
  readonly wants: SequenceWants;
}

/** Rows of a step that one table is of, and the parts that they belong to. */
interface Wanted {
  readonly rows: number[];
  readonly shares: { readonly part: number; readonly count: number; readonly tokens: readonly number[] | null }[];
}

type Values = Float32Array | Int32Array;

/** One step's. Why: docs/decisions/hooks.md#one-probe-which-is-null */
export class StepLook implements StepLooks {
  private readonly wanted = new Map<string, Wanted>();
  private readonly tables: LookTable[][];
  private readonly numExchanges: ReadonlyMap<number, number>;

  /** `sequences`: of all parts of the step, in their order; `outputs`: of its plan. */
  constructor(
    sequences: readonly LookedSequence[],
    outputs: readonly OutputExchanges[],
    private readonly spec: ModelSpec,
  ) {
    this.tables = sequences.map(() => []);
    this.numExchanges = new Map(outputs.map(({ layer, numExchanges }) => [layer, numExchanges]));
    let rowStart = 0;
    for (const [i, sequence] of sequences.entries()) {
      this.want(i, sequence, rowStart);
      rowStart += sequence.part.tokenIds.length;
    }
  }

  /** What there is of a part, by its number. Complete when the step has run. */
  tablesOf(part: number): readonly LookTable[] {
    return this.tables[part]!;
  }

  /** Reads the rows that are wanted, and has logits made of those whose are. */
  hidden(place: number, states: HiddenStates): void | Promise<void> {
    const reading = this.readHidden(place, states);
    const seen = this.rowsOf('lens', place);
    if (seen.length === 0) return reading;
    const lens = async (): Promise<void> => {
      await reading;
      const logits = await states.logits(seen);
      this.take('lens', place, joinedRows(logits.map((row) => row.values())));
    };
    return lens();
  }

  private readHidden(place: number, states: HiddenStates): void | Promise<void> {
    const rows = this.rowsOf('hidden', place);
    if (rows.length === 0) return undefined;
    const values = states.read(rows);
    if (values instanceof Promise) return values.then((read) => this.take('hidden', place, read));
    this.take('hidden', place, values);
    return undefined;
  }

  /** As StepLooks says. */
  moe(layer: number): MoeLook | null {
    const numExchanges = this.numExchanges.get(layer);
    const isWanted = (['moe_input', 'router_logits', 'experts', 'weights'] as const).some(
      (table) => this.rowsOf(table, layer).length > 0,
    );
    if (!isWanted && numExchanges === undefined) return null;
    const rows = this.rowsOf('expert_outputs', layer);
    return {
      outputs: numExchanges === undefined ? null : { rows, numExchanges },
      routed: (tokens, routing) => this.routed(layer, tokens, routing),
      computed: (outputs) => this.take('expert_outputs', layer, outputs),
    };
  }

  private want(index: number, { part, numPromptTokens, wants }: LookedSequence, rowStart: number): void {
    const { looks = [], routedExperts } = wants;
    if (part.isReplay || looks.length === 0) return;
    const { sequence, position, tokenIds } = part;
    const place = { sequence, position, numTokens: tokenIds.length, numPromptTokens };
    for (const { table, layer, looks: own } of sightsOf(looks)) {
      if (table === 'experts' && routedExperts) continue;
      const tokens = tokensAt(own, place);
      const wanted = this.wantedOf(table, layer);
      wanted.rows.push(...tokens.map((token) => rowStart + token));
      const count = tokens.length;
      wanted.shares.push({ part: index, count, tokens: count === tokenIds.length ? null : tokens });
    }
  }

  private wantedOf(table: TableName, layer: number): Wanted {
    const key = keyOf(table, layer);
    const wanted = this.wanted.get(key) ?? { rows: [], shares: [] };
    this.wanted.set(key, wanted);
    return wanted;
  }

  private rowsOf(table: TableName, layer: number): readonly number[] {
    return this.wanted.get(keyOf(table, layer))?.rows ?? [];
  }

  private async routed(layer: number, tokens: MoeTokens, { topkIdx, topkWeights }: Routing): Promise<void> {
    const inputRows = this.rowsOf('moe_input', layer);
    if (inputRows.length > 0) {
      const values = contiguous(await tokens.rows());
      this.take('moe_input', layer, rowsFrom(values, inputRows, expertSizesOf(this.spec).hidden));
    }
    const { numExperts } = gateOf(this.spec, layer);
    const logitRows = this.rowsOf('router_logits', layer);
    if (logitRows.length > 0) {
      this.take('router_logits', layer, rowsFrom(await tokens.logits(), logitRows, numExperts));
    }
    for (const [table, values] of [
      ['experts', topkIdx],
      ['weights', topkWeights],
    ] as const) {
      const rows = this.rowsOf(table, layer);
      if (rows.length > 0) this.take(table, layer, rowsFrom(values, rows, this.spec.moe.gate.numTopk));
    }
  }

  /** Gives each part its rows. */
  private take(table: TableName, layer: number, values: Values): void {
    const { rows, shares } = this.wanted.get(keyOf(table, layer)) ?? NOTHING;
    const length = rows.length === 0 ? 0 : values.length / rows.length;
    let row = 0;
    for (const { part, count, tokens } of shares) {
      const own = values.subarray(row * length, (row + count) * length);
      if (count > 0) this.tables[part]!.push({ table, layer, tokens, rows: own });
      row += count;
    }
  }
}

const NOTHING: Wanted = { rows: [], shares: [] };

const keyOf = (table: TableName, layer: number): string => `${table} ${layer}`;

/** Rows of equal length, one after the other. */
function joinedRows(rows: readonly Float32Array[]): Float32Array {
  const length = rows[0]!.length;
  const joined = new Float32Array(rows.length * length);
  rows.forEach((row, i) => joined.set(row, i * length));
  return joined;
}

function rowsFrom<T extends Values>(values: T, rows: readonly number[], length: number): T {
  const copy = values.slice(0, rows.length * length) as T;
  rows.forEach((row, i) => copy.set(values.subarray(row * length, (row + 1) * length), i * length));
  return copy;
}
