/** An inspection for readers, and for programs. Pure. */
import { expertCountsOf } from '../../model/spec/spec.js';
import { shortCounts } from '../../../experts/placement/expert_counts.js';
import { dtypesIn } from '../../../compute/base/expert_dtypes.js';
import { printable } from '../../../base/foreign_text.js';
import { bytes, table } from '../../metrics/charts.js';
import type { Inspection, ModelFacts } from './inspection.js';
import type { BytesOfTypes } from '../../model/weights/type_bytes.js';
import { kvBytesPerToken, modelLines, stateBytes, type Line } from './model_lines.js';
import { totalBytes, type RankBytesRow } from './rank_bytes.js';
import type { TextFacts } from './text_facts.js';

/** Of what files say. */
const MAX_FOREIGN_CHARS = 400;
/** Names of tensors that are told. */
const MAX_NAMES = 5;

/** Lines, ending with a new line. */
export function inspectionText(inspection: Inspection): string {
  const { model, text } = inspection;
  const lines: Line[] = [
    ['model', `${familyText(inspection)}: ${verdictText(inspection)}`],
    ...(model === null ? [] : modelLines(model)),
    ...weightLines(inspection),
    ['tokenizer', text === null ? noTokenizer(inspection) : tokenizerText(text)],
    ...skippedLines(inspection),
    ...inspection.problems.map(({ part, message }): Line => [`✗ ${part}`, printable(message, 2000)]),
  ];
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  const facts = lines.map(([name, said]) => `${name.padEnd(width)}${said}`);
  return `${[...facts, ...(model === null ? [] : ['', bytesText(model, inspection)])].join('\n')}\n`;
}

function familyText({ config }: Inspection): string {
  const { model_type: type, architectures } = config;
  const name = typeof type === 'string' ? type : 'no model_type';
  const classes = Array.isArray(architectures) ? ` (${architectures.join(', ')})` : '';
  return printable(name + classes, MAX_FOREIGN_CHARS);
}

function verdictText(inspection: Inspection): string {
  if (inspection.model === null) return 'does not run here';
  if (inspection.isWhole) return 'runs here';
  return isDamaged(inspection)
    ? 'would run here, with whole weights'
    : 'would run here; its weights are not in the folder';
}

const isDamaged = ({ problems }: Inspection): boolean => problems.some(({ part }) => part === 'weights');

function weightLines(inspection: Inspection): Line[] {
  const { stored, model, isWhole } = inspection;
  const kept = model === null ? [] : [['', `${isWhole ? 'kept' : 'declared'} as ${groupedText(model)}`] as const];
  if (stored === null) return [['weights', isDamaged(inspection) ? 'not whole, see below' : 'none here'], ...kept];
  const types = Object.entries(stored.dtypes).toSorted(([, a], [, b]) => b.bytes - a.bytes);
  const text = types.map(([name, count]) => `${name} ${bytes(count.bytes)} in ${count.tensors} tensors`).join(', ');
  const files = `${stored.files} ${stored.files === 1 ? 'file' : 'files'}`;
  return [['weights', printable(`${bytes(stored.bytes)} in ${files}: ${text}`, MAX_FOREIGN_CHARS)], ...kept];
}

/** Parts that are of one type together. */
function groupedText({ dtypes }: ModelFacts): string {
  const byType = new Map<string, string[]>();
  for (const [part, names] of Object.entries(dtypes)) {
    const type = names.join(' and ');
    byType.set(type, [...(byType.get(type) ?? []), part.replace('_', ' ')]);
  }
  return [...byType].map(([type, parts]) => `${type} (${parts.join(', ')})`).join(', ');
}

const noTokenizer = ({ problems }: Inspection): string =>
  problems.some(({ part }) => part === 'tokenizer') ? 'none that works' : 'none here: prompts are token ids';

function tokenizerText({ vocabSize, bos, ends, templates, chat }: TextFacts): string {
  const named = [...ends].map(([id, token]) => `${token} (${id})`).join(', ');
  const begin = bos === null ? '' : `, texts begin with ${bos}`;
  const end = ends.size === 0 ? 'nothing ends a text' : `texts end with ${named}`;
  const several = templates.length > 1 ? `chat templates ${templates.join(', ')}` : 'a chat template';
  const chats = { none: 'no chat template', works: several, fails: `${several}, which fails` }[chat];
  return printable(`${vocabSize} tokens${begin}, ${end}, ${chats}`, MAX_FOREIGN_CHARS);
}

function skippedLines({ skipped, unknownTensors, mechanisms }: Inspection): Line[] {
  const names = unknownTensors.slice(0, MAX_NAMES).join(', ');
  const more = unknownTensors.length > MAX_NAMES ? ', …' : '';
  const unknown = `${unknownTensors.length} tensors that the configuration gives no meaning to: ${names}${more}`;
  return [
    ...skipped.map((part): Line => ['not run', part]),
    ...(unknownTensors.length === 0 ? [] : [['not read', printable(unknown, MAX_FOREIGN_CHARS)] as const]),
    ...(mechanisms.length === 0 ? [] : [['it has', printable(mechanisms.join(', '), MAX_FOREIGN_CHARS)] as const]),
  ];
}

function bytesText({ rows, limits, tierBytes }: ModelFacts, { machineBytes }: Inspection): string {
  const shown = distinct(rows);
  const numbers = rows[0]!.ranks.map(({ numRanks }) => `${numRanks} ${numRanks === 1 ? 'rank' : 'ranks'}`);
  const cells = shown.map(({ name, residence, ranks }) => [
    residenceText(name, residence),
    ...ranks.map(({ footprint, fitsHere }) =>
      footprint === null ? '–' : bytes(totalBytes(footprint)) + (fitsHere ? ' ✓' : '  '),
    ),
  ]);
  const tokens = limits.numKvBlocks * limits.blockSize;
  const tier = tierBytes === 0 ? '' : ` and a ram tier of ${bytes(tierBytes)}`;
  const head = `bytes of each rank, with a KV cache of ${tokens} tokens${tier}; ✓ so many fit this machine of ${bytes(machineBytes)}`;
  return [head, table([['', ...numbers.map((text) => `${text}  `)], ...cells]), typesText(rows[0]!)].join('\n');
}

/** What of the weights is kept as what. */
function typesText({ name, types: { experts, dense } }: RankBytesRow): string {
  const text = (of: BytesOfTypes): string =>
    Object.entries(of)
      .toSorted(([, a], [, b]) => b - a)
      .map(([dtype, size]) => `${dtype} ${bytes(size)}`)
      .join(', ');
  return `${name}, all weights once: experts ${text(experts)}; others ${text(dense)}`;
}

/** What weights are kept as. */
function residenceText(name: string, { compute, experts, dense }: RankBytesRow['residence']): string {
  if (compute === 'tensors') return 'TensorFlow.js (f32)';
  return dense === 'auto' || name === 'as configured'
    ? `${name} (experts ${dtypesIn(experts).join(' and ')})`
    : `all ${name}`;
}

/** What differs from the rows before it. */
function distinct(rows: readonly RankBytesRow[]): RankBytesRow[] {
  const key = ({ ranks }: RankBytesRow): string =>
    ranks.map(({ footprint }) => (footprint === null ? '' : totalBytes(footprint))).join();
  return rows.filter((row, i) => !rows.slice(0, i).some((earlier) => key(earlier) === key(row)));
}

/** One object. */
export function inspectionJson(inspection: Inspection): object {
  const { dir, config, model, stored, isWhole, text, problems, skipped, unknownTensors, machineBytes } = inspection;
  return {
    ...{ dir, model_type: config.model_type ?? null, architectures: config.architectures ?? null },
    ...{ supported: model !== null, weights_whole: isWhole, problems, skipped, unknown_tensors: unknownTensors },
    mechanisms: inspection.mechanisms,
    model: model && modelJson(model),
    weights: stored,
    tokenizer: text && {
      vocab_size: text.vocabSize,
      bos: text.bos,
      ends: Object.fromEntries(text.ends),
      chat: text.chat,
      chat_templates: text.templates,
    },
    machine_bytes: machineBytes,
  };
}

function modelJson({ spec, parameters, limits, kvDtype, dtypes, rows }: ModelFacts): object {
  const { total, active, activeWithoutEmbedding, perExpert, parts } = parameters;
  const { numTopk } = spec.moe.gate;
  const numExperts = shortCounts(expertCountsOf(spec));
  return {
    parameters: { total, active, active_without_embedding: activeWithoutEmbedding, per_expert: perExpert, parts },
    ...{ hidden_size: spec.hiddenSize, layers: spec.layers.length, vocab_size: spec.vocabSize },
    moe_layers: spec.layers.filter(({ kind }) => kind === 'moe').length,
    ...{ experts: numExperts, experts_per_token: numTopk, expert_intermediate_size: spec.moe.intermediateSize },
    ...{ shared_intermediate_size: spec.moe.sharedIntermediateSize, attention: spec.attention.kind },
    ...{ max_positions: spec.maxPositions, kv_dtype: kvDtype },
    ...{ kv_bytes_per_token: kvBytesPerToken({ spec, kvDtype, limits }), state_bytes: stateBytes(spec) },
    kv_tokens: limits.numKvBlocks * limits.blockSize,
    dtypes,
    rank_bytes: rows.map(({ name, residence, types, ranks }) => ({
      ...{ name, compute: residence.compute, experts: residence.experts, dense: residence.dense },
      bytes_by_type: types,
      ranks: ranks.map(({ numRanks, footprint, fitsHere }) => ({
        ...{ ranks: numRanks, fits_here: fitsHere },
        ...(footprint === null ? { total: null } : { total: totalBytes(footprint), ...footprintJson(footprint) }),
      })),
    })),
  };
}

const footprintJson = (footprint: NonNullable<RankBytesRow['ranks'][number]['footprint']>): object => {
  const { dense, experts, moving, cache, tiers = 0, activations, received } = footprint;
  return { dense, experts, moving, cache, tiers, activations, received };
};
