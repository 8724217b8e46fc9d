/**
 * Recordings of what gates chose: gzip-compressed lines of JSON, a header and then one record a line. Here: what the lines say. Pure.
 * Shape suffixes: L MoE layers, E logical experts, K choices per token.
 */

/** stat: sums per window of steps. per_pass: one record per step. per_token: the experts of each token. */
export const RECORD_MODES = ['stat', 'per_pass', 'per_token'] as const;
export type RecordMode = (typeof RECORD_MODES)[number];

export interface RecordingHeader {
  readonly mode: RecordMode;
  /** Name of the model's folder. */
  readonly model: string;
  readonly numLayers: number;
  readonly numExperts: number;
  readonly numTopk: number;
  /** Program and version that wrote it: 'expertwire 0.1.0'. */
  readonly createdBy: string;
}

/** Of `stat` and `per_pass`. */
export interface LoadRecord {
  /** The first of its steps. */
  readonly step: number;
  /** 1 with `per_pass`. */
  readonly numSteps: number;
  /** Tokens that these steps computed, on all ranks. */
  readonly numTokens: number;
  /** Tokens routed to each expert, after masking, summed over ranks: [L][E]. */
  readonly load_LE: readonly ArrayLike<number>[];
}

/** Of `per_token`. A token that was computed again after a loss is there once. */
export interface TokenRecord {
  readonly step: number;
  /** Requests are numbered in the order in which the engine got them, from 0. */
  readonly request: number;
  /** In the sequence of prompt and output, from 0. */
  readonly position: number;
  readonly tokenId: number;
  /** What the gates chose, best first: [L·K]. */
  readonly experts: Uint16Array;
}

const FORMAT = 'expertwire-load';
const FORMAT_VERSION = 1;
/** Larger shapes are no model. */
const MAX_LOADS = 2 ** 24;
/** Of a header, in characters. */
export const MAX_HEADER_LENGTH = 65_536;

/** Longest line that a record of this shape takes. */
export const maxRecordLength = ({ numLayers, numExperts, numTopk }: RecordingHeader): number =>
  1024 + numLayers * (2 + 26 * Math.max(numExperts, numTopk));

export const headerLine = (header: RecordingHeader): string =>
  `${JSON.stringify({
    format: FORMAT,
    format_version: FORMAT_VERSION,
    mode: header.mode,
    model: header.model,
    num_layers: header.numLayers,
    num_experts: header.numExperts,
    num_topk: header.numTopk,
    created_by: header.createdBy,
  })}\n`;

export const loadLine = ({ step, numSteps, numTokens, load_LE }: LoadRecord): string =>
  `${JSON.stringify({
    step,
    num_steps: numSteps,
    num_tokens: numTokens,
    load: load_LE.map((load_E) => Array.from(load_E)),
  })}\n`;

export const tokenLine = ({ step, request, position, tokenId, experts }: TokenRecord, numTopk: number): string => {
  const experts_LK = Array.from({ length: experts.length / numTopk }, (_, layer) => [
    ...experts.subarray(layer * numTopk, (layer + 1) * numTopk),
  ]);
  return `${JSON.stringify({ step, request, position, token_id: tokenId, experts: experts_LK })}\n`;
};

/** @throws Error: what is wrong with the line, without saying where it stands */
export function parseHeader(line: string): RecordingHeader {
  const content = objectOf(line);
  if (content.format !== FORMAT) throw new Error(`it doesn't begin with a header {"format": "${FORMAT}", …}`);
  const version = content.format_version;
  if (version !== FORMAT_VERSION) {
    throw new Error(`its format_version is ${String(version)}, and this expertwire reads ${FORMAT_VERSION}`);
  }
  const mode = RECORD_MODES.find((each) => each === content.mode);
  if (mode === undefined)
    throw new Error(`its mode is ${JSON.stringify(content.mode)}, not one of ${RECORD_MODES.join(', ')}`);
  const [numLayers, numExperts, numTopk] = ['num_layers', 'num_experts', 'num_topk'].map((key) =>
    wholeOf(content, key, 1),
  ) as [number, number, number];
  if (numLayers * Math.max(numExperts, numTopk) > MAX_LOADS || numTopk > numExperts) {
    throw new Error(`${numLayers} layers of ${numExperts} experts, ${numTopk} per token, is no model's shape`);
  }
  const { model = '', created_by: createdBy = '' } = content;
  return { mode, model: String(model), numLayers, numExperts, numTopk, createdBy: String(createdBy) };
}

/** @throws Error as {@link parseHeader} */
export function parseLoad(line: string, { numLayers, numExperts }: RecordingHeader): LoadRecord {
  const content = objectOf(line);
  const isLoad = (load: unknown): boolean => typeof load === 'number' && load >= 0 && load < Infinity;
  const load_LE = rowsOf(content.load, 'load', numLayers, numExperts, isLoad).map((row) => Float64Array.from(row));
  return {
    step: wholeOf(content, 'step', 0),
    numSteps: wholeOf(content, 'num_steps', 1),
    numTokens: wholeOf(content, 'num_tokens', 0),
    load_LE,
  };
}

/** @throws Error as {@link parseHeader} */
export function parseToken(line: string, { numLayers, numExperts, numTopk }: RecordingHeader): TokenRecord {
  const content = objectOf(line);
  const isExpert = (expert: unknown): boolean =>
    Number.isSafeInteger(expert) && 0 <= Number(expert) && Number(expert) < numExperts;
  const rows = rowsOf(content.experts, 'experts', numLayers, numTopk, isExpert);
  return {
    step: wholeOf(content, 'step', 0),
    request: wholeOf(content, 'request', 0),
    position: wholeOf(content, 'position', 0),
    tokenId: wholeOf(content, 'token_id', 0),
    experts: Uint16Array.from(rows.flat()),
  };
}

function objectOf(line: string): Readonly<Record<string, unknown>> {
  let content: unknown;
  try {
    content = JSON.parse(line);
  } catch (cause) {
    throw new Error('it is no JSON', { cause });
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw new Error('it is no JSON object');
  return content as Readonly<Record<string, unknown>>;
}

function wholeOf(content: Readonly<Record<string, unknown>>, key: string, min: number): number {
  const value = content[key];
  if (Number.isSafeInteger(value) && Number(value) >= min) return Number(value);
  throw new Error(`its ${key} is ${JSON.stringify(value)}, not a whole number from ${min}`);
}

function rowsOf(
  value: unknown,
  key: string,
  numRows: number,
  numColumns: number,
  isValue: (value: unknown) => boolean,
): number[][] {
  const isRow = (row: unknown): boolean => Array.isArray(row) && row.length === numColumns && row.every(isValue);
  if (Array.isArray(value) && value.length === numRows && value.every(isRow)) return value as number[][];
  throw new Error(`its ${key} is not the header's ${numRows} layers of ${numColumns} numbers that make sense`);
}
