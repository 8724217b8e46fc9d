/** Where a matrix may be in a checkpoint: under its own name, or in a tensor that holds it beside others. Pure. */
import { gateOf, type ModelSpec, type StoredNames } from '../spec/spec.js';

/** A place in a checkpoint that may exist or not. Names of scales and packed values are made of `base` and endings of their own. */
export interface Located {
  /** For example `model.layers.0.mlp.experts.7.up_proj`. */
  readonly base: string;
  /** What the values are called behind it: `.weight`, `.bias`, or nothing. */
  readonly ending: string;
  /** Which entry of the tensor's first dimension; null: it has no such dimension. */
  readonly entry: { readonly index: number; readonly of: number } | null;
  readonly lines: Lines;
}

/** Which rows (axis 0) or columns (axis 1) of what is stored are the rows of the matrix: number r is `first + r · step`. */
export interface Lines {
  readonly axis: 0 | 1;
  readonly first: number;
  readonly step: number;
  /** That are stored. */
  readonly of: number;
}

/** What a checkpoint calls a tensor. */
export function storedName({ prefix, replace }: StoredNames, name: string): string {
  return prefix + replace.reduce((text, [ours, theirs]) => text.replaceAll(ours, theirs), name);
}

/** Every place, the likeliest first. `rows`: of the matrix, or the length of a vector. */
export function* placesOf(spec: ModelSpec, name: string, rows: number): Generator<Located, void> {
  yield { ...splitName(storedName(spec.stored, name)), entry: null, lines: allLines(rows) };
  const expert = EXPERT.exec(name);
  if (expert !== null) yield* fusedExperts(spec, expert, rows);
  else yield* fusedRows(spec, name, rows);
}

const EXPERT = /^(.*\.)experts\.(\d+)\.(gate|up|down)_proj\.(weight|bias)$/;
const ENDING = /\.(weight|bias)$/;

function splitName(stored: string): { readonly base: string; readonly ending: string } {
  const ending = ENDING.exec(stored)?.[0] ?? '';
  return { base: stored.slice(0, stored.length - ending.length), ending };
}

const allLines = (of: number): Lines => ({ axis: 0, first: 0, step: 1, of });

/** One tensor for all experts of a layer. Granite has its own names for them, and no word for experts in them. */
function* fusedExperts(spec: ModelSpec, expert: RegExpExecArray, rows: number): Generator<Located, void> {
  const [, layer, index, projection, kind] = expert as unknown as [string, string, string, Projection, string];
  const { stored } = spec;
  const entry = { index: Number(index), of: gateOf(spec, Number(/layers\.(\d+)\./.exec(layer)?.[1])).numExperts };
  const experts = storedName(stored, `${layer}experts.`);
  const isTransposed = stored.experts === 'columns' && kind === 'weight';
  const lines = fusedLines(projection, rows, stored.experts);
  const own = { entry, lines: { ...lines, axis: isTransposed ? 1 : 0 } as const };
  const endings = kind === 'weight' ? ['', '.weight'] : ['_bias', '.bias'];
  const fused = projection === 'down' ? 'down_proj' : 'gate_up_proj';
  for (const ending of endings) yield { base: experts + fused, ending, ...own };
  const parent = experts.replace(/experts\.$/, '');
  const linear = projection === 'down' ? 'output_linear' : 'input_linear';
  yield { base: parent + linear, ending: `.${kind}`, ...own };
}

type Projection = 'gate' | 'up' | 'down';

function fusedLines(projection: Projection, rows: number, experts: StoredNames['experts']): Omit<Lines, 'axis'> {
  if (projection === 'down') return { first: 0, step: 1, of: rows };
  const isUp = projection === 'up';
  if (experts === 'columns') return { first: isUp ? 1 : 0, step: 2, of: 2 * rows };
  return { first: isUp ? rows : 0, step: 1, of: 2 * rows };
}

/** Projections from one input that lie in one tensor, one behind the other. */
function* fusedRows({ stored, attention }: ModelSpec, name: string, rows: number): Generator<Located, void> {
  const found = FUSED_PART.exec(name);
  if (found === null) return;
  const [, prefix, part, kind] = found as unknown as [string, string, string, string];
  const at = (fused: string, first: number, of: number): Located => ({
    ...splitName(storedName(stored, `${prefix}${fused}.${kind}`)),
    entry: null,
    lines: { axis: 0, first, step: 1, of },
  });
  if (part === 'gate_proj' || part === 'up_proj') {
    const first = part === 'gate_proj' ? 0 : rows;
    for (const fused of ['gate_up_proj', 'input_linear']) yield at(fused, first, 2 * rows);
  } else if (part === 'down_proj') {
    yield at('output_linear', 0, rows);
  } else if (attention.kind === 'gqa') {
    const { numHeads, numKvHeads, headDim, hasOutputGate } = attention;
    const [q, kv] = [numHeads * headDim * (hasOutputGate ? 2 : 1), numKvHeads * headDim];
    const first = { q_proj: 0, k_proj: q, v_proj: q + kv }[part]!;
    for (const fused of ['qkv_proj', 'query_key_value']) yield at(fused, first, q + 2 * kv);
  }
}

const FUSED_PART = /^(.*\.)(gate_proj|up_proj|down_proj|q_proj|k_proj|v_proj)\.(weight|bias)$/;
