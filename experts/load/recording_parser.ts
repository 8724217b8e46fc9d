/** Lines of recordings, checked: a file may be damaged, or written by somebody else. Pure. */
import { shown } from '../../base/foreign_text.js';
import { countsOf, countsText, mostOf, shortCounts, type ExpertCounts } from '../placement/expert_counts.js';
import {
  FORMAT,
  RECORD_MODES,
  type LoadRecord,
  type PlacementRecord,
  type RecordedLine,
  type RecordedSlots,
  type RecordingHeader,
  type TokenRecord,
} from './recording.js';

/** 2: with placements. 3: with router logits too. 4: layers differ in experts. */
const FORMAT_VERSIONS: readonly unknown[] = [1, 2, 3, 4];
/** Larger shapes are no model. */
const MAX_LOADS = 2 ** 24;

type Content = Readonly<Record<string, unknown>>;

/** @throws Error: what is wrong with the line, without saying where it stands */
export function parseHeader(line: string): RecordingHeader {
  const content = objectOf(line);
  if (content.format !== FORMAT) throw new Error(`it doesn't begin with a header {"format": "${FORMAT}", …}`);
  const version = content.format_version;
  if (!FORMAT_VERSIONS.includes(version)) {
    throw new Error(
      `its format_version is ${String(version)}, and this expertwire reads ${FORMAT_VERSIONS.join(' and ')}`,
    );
  }
  const mode = RECORD_MODES.find((each) => each === content.mode);
  if (mode === undefined) throw new Error(`its mode is ${shown(content.mode)}, not one of ${RECORD_MODES.join(', ')}`);
  const [numLayers, numTopk] = [wholeOf(content, 'num_layers', 1), wholeOf(content, 'num_topk', 1)];
  const numExperts = countsFrom(content, numLayers);
  const [most, fewest] = [mostOf(numExperts), typeof numExperts === 'number' ? numExperts : Math.min(...numExperts)];
  if (numLayers * Math.max(most, numTopk) > MAX_LOADS || numTopk > fewest) {
    const experts = `${numLayers} layers of ${countsText(numExperts)} experts`;
    throw new Error(`${experts}, ${numTopk} per token, is no model's shape`);
  }
  const { model = '', created_by: createdBy = '' } = content;
  return {
    ...{ mode, model: String(model), numLayers, numExperts, numTopk, createdBy: String(createdBy) },
    ...(content.window_size !== undefined && { windowSize: wholeOf(content, 'window_size', 1) }),
    ...((version === 2 || content.num_slots !== undefined) && { slots: slotsOf(content, numLayers, most) }),
    ...(content.router_logits === true && { hasRouterLogits: true }),
  };
}

/** One number, or a list of one for each layer. */
function countsFrom(content: Content, numLayers: number): ExpertCounts {
  const { num_experts: given } = content;
  if (!Array.isArray(given)) return wholeOf(content, 'num_experts', 1);
  const counts = given as readonly unknown[];
  if (counts.length !== numLayers)
    throw new Error(`its num_experts are ${counts.length}, and there are ${numLayers} layers`);
  return shortCounts(counts.map((count) => wholeOf({ num_experts: count }, 'num_experts', 1)));
}

/** @throws Error as {@link parseHeader} */
export function parseRecord(line: string, header: RecordingHeader): RecordedLine {
  const content = objectOf(line);
  if ('placement_version' in content) return { kind: 'placement', record: parsePlacement(content, header) };
  if (header.mode === 'per_token') return { kind: 'token', record: parseToken(content, header) };
  return { kind: 'load', record: parseLoad(content, header) };
}

function slotsOf(content: Content, numLayers: number, numExperts: number): RecordedSlots {
  const [numRanks, numSlots] = [wholeOf(content, 'num_ranks', 1), wholeOf(content, 'num_slots', numExperts)];
  const maxSlots = content.max_slots === undefined ? numSlots : wholeOf(content, 'max_slots', numSlots);
  if (numSlots % numRanks !== 0 || numLayers * maxSlots > MAX_LOADS) {
    throw new Error(`${maxSlots} slots per layer on ${numRanks} ranks, ${numLayers} layers, is no placement's shape`);
  }
  return { numRanks, numSlots, ...(content.max_slots !== undefined && { maxSlots }) };
}

function parsePlacement(content: Content, { numLayers, numExperts, slots }: RecordingHeader): PlacementRecord {
  if (slots === undefined) throw new Error('it is of a placement, for which the header has no num_ranks and num_slots');
  const numRanks = content.num_ranks === undefined ? slots.numRanks : wholeOf(content, 'num_ranks', 1);
  const maxSlots = slots.maxSlots ?? slots.numSlots;
  const counts = countsOf(numExperts, numLayers);
  const isSlotIn =
    (layer: number) =>
    (logical: unknown): boolean =>
      Number.isSafeInteger(logical) && -1 <= Number(logical) && Number(logical) < counts[layer]!;
  const isTable = (numSlots: number): boolean => numSlots > 0 && numSlots <= maxSlots && numSlots % numRanks === 0;
  const layers = Array.isArray(content.layers) ? (content.layers as readonly unknown[]) : [];
  return {
    step: wholeOf(content, 'step', 0),
    version: wholeOf(content, 'placement_version', 0),
    ...(content.num_ranks !== undefined && { numRanks }),
    layers: layers.map((layer) => {
      const { layer: moeLayer, phy2log } = (layer ?? {}) as Content;
      if (!Number.isSafeInteger(moeLayer) || Number(moeLayer) < 0 || Number(moeLayer) >= numLayers) {
        throw new Error(`it places layer ${shown(moeLayer)}, and there are ${numLayers}`);
      }
      if (!Array.isArray(phy2log) || !isTable(phy2log.length) || !phy2log.every(isSlotIn(Number(moeLayer)))) {
        throw new Error(
          `its phy2log of layer ${String(moeLayer)} is not the expert of each slot of ${numRanks} ranks, ${maxSlots} at most`,
        );
      }
      return { moeLayer: Number(moeLayer), phy2log: Int32Array.from(phy2log as number[]) };
    }),
  };
}

function parseLoad(content: Content, { numLayers, numExperts }: RecordingHeader): LoadRecord {
  const isLoad = (load: unknown): boolean => typeof load === 'number' && load >= 0 && load < Infinity;
  const load_LE = rowsOf(content.load, 'load', countsOf(numExperts, numLayers), isLoad).map((row) =>
    Float64Array.from(row),
  );
  return {
    step: wholeOf(content, 'step', 0),
    numSteps: wholeOf(content, 'num_steps', 1),
    numTokens: wholeOf(content, 'num_tokens', 0),
    load_LE,
  };
}

function parseToken(content: Content, { numLayers, numExperts, numTopk }: RecordingHeader): TokenRecord {
  const counts = countsOf(numExperts, numLayers);
  const isExpert = (expert: unknown, layer: number): boolean =>
    Number.isSafeInteger(expert) && -1 <= Number(expert) && Number(expert) < counts[layer]!;
  const rows = rowsOf(content.experts, 'experts', countsOf(numTopk, numLayers), isExpert);
  const isLogit = (logit: unknown): boolean => typeof logit === 'number' && Number.isFinite(logit);
  const logits = content.router_logits;
  return {
    step: wholeOf(content, 'step', 0),
    request: wholeOf(content, 'request', 0),
    position: wholeOf(content, 'position', 0),
    tokenId: wholeOf(content, 'token_id', 0),
    experts: Uint16Array.from(rows.flat()), // -1 becomes NO_EXPERT
    ...(logits !== undefined && {
      routerLogits: Float32Array.from(rowsOf(logits, 'router_logits', counts, isLogit).flat()),
    }),
  };
}

function objectOf(line: string): Content {
  let content: unknown;
  try {
    content = JSON.parse(line);
  } catch (cause) {
    throw new Error('it is no JSON', { cause });
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw new Error('it is no JSON object');
  return content as Content;
}

function wholeOf(content: Content, key: string, min: number): number {
  const value = content[key];
  if (Number.isSafeInteger(value) && Number(value) >= min) return Number(value);
  throw new Error(`its ${key} is ${shown(value)}, not a whole number from ${min}`);
}

function rowsOf(
  value: unknown,
  key: string,
  widths: readonly number[],
  isValue: (value: unknown, layer: number) => boolean,
): number[][] {
  const isRow = (row: unknown, layer: number): boolean =>
    Array.isArray(row) && row.length === widths[layer] && row.every((each) => isValue(each, layer));
  if (Array.isArray(value) && value.length === widths.length && value.every(isRow)) return value as number[][];
  const layers = `${widths.length} layers of ${countsText(widths)} numbers`;
  throw new Error(`its ${key} is not the header's ${layers} that make sense`);
}
