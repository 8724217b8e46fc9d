/** What `bench peers` prints for people. Pure. */
import { table } from '../../lib/metrics/charts.js';
import type { Machine } from '../base/machine.js';
import type { GenerationFigures } from './generation.js';
import type { MachineRow } from './machine_section.js';
import type { EngineFigures, GenerationRow } from './measure_generation.js';
import type { PeersOptions } from './options.js';
import type { Ratio, Spread } from './ratios.js';

/** Machine, how busy it is, settings, and who is missing. */
export function header(
  machine: Machine,
  load: number,
  options: PeersOptions,
  isPinned: boolean,
  missing: readonly string[],
): string {
  const { cpu, cores, memory, node } = machine;
  return [
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; ${loadText(load, cores)}; seed ${options.seed}; rounds ${options.rounds} in turns; median (min–max)`,
    isPinned
      ? 'every engine is kept on the first cores of this process by taskset'
      : 'no taskset here: engines are limited in threads alone, and ours may use other cores too',
    ...missing,
    '',
  ].join('\n');
}

/** How busy the machine is: what runs besides makes every figure worse, and ratios uncertain. */
export const loadText = (load: number, cores: number): string =>
  `load average ${load.toFixed(1)}${load > cores / 4 ? ', BUSY: read ratios' : ''}`;

/** The section `generation`. */
export function generationReport(figures: GenerationFigures, options: PeersOptions): string {
  const names = Object.keys(figures.versions);
  const peers = names.slice(1);
  const lines = [
    ...Object.entries(figures.versions).map(([name, version]) => `  ${name}: ${version}`),
    `  prefill: ${options.promptTokens} tokens of a new prompt to its first token; decode: steps that give every sequence a token, ${options.context} tokens before the first;`,
    '  ratio = ours / peer in tokens/s of the same round, best: of the fastest round of each; of read = weights of one token / time, of the bandwidth that a plain loop reads in the same round',
  ];
  const rows = figures.rows.map((row) => [
    nameOf(row),
    ...cells(row.engines[names[0]!]!),
    ...peers.flatMap((peer) => peerCells(row.engines[peer])),
  ]);
  const heads = [
    '',
    'ours tokens/s',
    'of read',
    ...peers.flatMap((peer) => [`${peer} tokens/s`, 'of read', 'ours / it']),
  ];
  return [
    `generation: ${figures.model}`,
    ...lines,
    '',
    table([heads, ...rows]),
    '',
    ...agreementLines(figures),
    ...readLines(figures),
    '',
  ].join('\n');
}

const nameOf = ({ dtype, cores, phase, batch }: GenerationRow): string =>
  `${dtype} · ${cores} ${cores === 1 ? 'core' : 'cores'} · ${phase}${phase === 'prefill' ? '' : ` × ${batch}`}`;

const cells = ({ tokens_per_s: speed, bandwidth_share: share }: EngineFigures): string[] => [
  spreadText(speed, (value) => value.toFixed(value < 100 ? 1 : 0)),
  share === null ? '' : spreadText(share, (value) => `${(100 * value).toFixed(0)} %`),
];

const peerCells = (figures: EngineFigures | undefined): string[] =>
  figures === undefined ? ['–', '', '–'] : [...cells(figures), ratioText(figures.ratio)];

/** 1.2 (1.1–1.3) */
export const spreadText = ({ median, min, max }: Spread, text: (value: number) => string): string =>
  `${text(median)} (${text(min)}–${text(max)})`;

/** 1.02x (0.97–1.10), best 1.01x */
export const ratioText = ({ best, ...spread }: Ratio): string =>
  `${spreadText(spread, (value) => value.toFixed(2)).replace(' ', 'x ')}, best ${best.toFixed(2)}x`;

const agreementLines = ({ agreements }: GenerationFigures): string[] =>
  agreements.map(({ dtype, peer, logits_error: error, is_same_best: isSame, tokens_alike: alike, tokens }) => {
    if (error === null) return `${dtype}: ${peer} tells no tokens; whether it computes the same model is not checked`;
    return `${dtype}: logits differ from ${peer}'s by ${(100 * error).toFixed(2)} %, ${isSame === true ? 'the same' : 'ANOTHER'} best token; ${alike} of ${tokens} tokens alike`;
  });

const readLines = ({ read_gb_per_s: reads }: GenerationFigures): string[] =>
  Object.entries(reads).map(
    ([cores, spreads]) =>
      `read on ${cores} ${cores === '1' ? 'core' : 'cores'}: ${spreads.map((spread) => spreadText(spread, (value) => value.toFixed(1))).join(', ')} GB/s`,
  );

/** The section `machine`. */
export const machineReport = (rows: readonly MachineRow[]): string =>
  [
    'machine: a plain loop over 512 MiB per thread beside the sum that torch makes of 512 MiB; a product of 512 × 2048 by 2048 × 2048, the matrix in the cache',
    table([
      ['', 'ours', 'torch', 'ours / it'],
      ...rows.map(({ what, cores, ours, torch, ratio }) => [
        `${what} · ${cores} ${cores === 1 ? 'core' : 'cores'}`,
        ...[ours, torch].map((spread) => spreadText(spread, (value) => value.toFixed(1))),
        ratioText(ratio),
      ]),
    ]),
    '',
  ].join('\n');
