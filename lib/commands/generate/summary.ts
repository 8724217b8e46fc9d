/** What a run looked like: speed, bytes between ranks, and which experts were hot. */
import { countsText } from '../../../experts/placement/expert_counts.js';
import { expertCountsOf } from '../../model/spec/spec.js';
import { dtypesIn } from '../../../compute/base/expert_dtypes.js';
import type { Placement } from '../../../experts/placement/placement.js';
import type { TierStats } from '../../../experts/tiers/tier_counts.js';
import type { Engine } from '../../head/engine.js';
import { widerText } from '../../kernels/newer_node.js';
import { isThere } from '../../head/observing/rank_states.js';
import { balanceLine } from '../../metrics/balance_charts.js';
import { bar, bytes, sparkline, table } from '../../metrics/charts.js';
import { choicesOf, type Completion, type Timing } from './completion.js';
import { ranksText } from './ranks_text.js';

const BAR_WIDTH = 32;
const BALANCE_WIDTH = 64;
const LOAD_HEADING =
  "expert load (how often each rank's experts were used, K times per token; ▁…█ all choices of each expert; balancedness = mean / max rank)";

/** Several lines for a terminal. */
export function summary(engine: Engine, completions: readonly Completion[], timing: Timing): string {
  const stats = engine.stats();
  const sections = [
    speedLine(engine, timing),
    widerLine(engine),
    lossLine(engine),
    skipLine(engine),
    tierLine(engine),
    rebalanceLine(engine),
    pairTable('dispatched from \\ to', stats.dispatchBytes, bytes),
    pairTable('combined from \\ to', stats.combineBytes, bytes),
    pairTable('waited for \\ by', stats.waitMs, (ms) => `${ms.toFixed(0)} ms`),
    loadChart(engine),
    balanceChart(engine),
    kindsChart(engine, completions),
  ];
  return `\n${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

function speedLine(engine: Engine, { elapsedMs, firstTokenMs }: Timing): string {
  const { loadReports, rankStates, resident, numPromptTokens, numOutputTokens } = engine.stats();
  return [
    `${ranksText(loadReports.map((report, rank) => (rankStates[rank] === 'left' ? null : report)))} · ${dtypesIn(resident.experts).join(' and ')} experts · ${numPromptTokens} prompt tokens`,
    `${numOutputTokens} new ones in ${(elapsedMs / 1000).toFixed(2)} s = ${(numOutputTokens / (elapsedMs / 1000)).toFixed(0)} tokens/s`,
    `first token after ${firstTokenMs.toFixed(0)} ms`,
  ].join(' · ');
}

/** Empty where no rank would compute with wider SIMD on another Node. */
function widerLine(engine: Engine): string {
  const newer = engine.stats().loadReports.flatMap(({ kernels }) => kernels?.newer ?? []);
  return [...new Set(newer)].map(widerText).join('\n');
}

/** Empty where no rank was lost. */
function lossLine(engine: Engine): string {
  const { lostRanks, numDegradedTokens } = engine.stats();
  if (lostRanks.length === 0) return '';
  const ranks = `${lostRanks.length === 1 ? 'rank' : 'ranks'} ${lostRanks.join(', ')}`;
  if (numDegradedTokens === 0) return `${ranks} lost on the way · no token degraded`;
  return `${ranks} lost on the way · ${numDegradedTokens} tokens degraded: computed without an expert that no other rank holds`;
}

/** Empty where no choice was skipped. */
function skipLine(engine: Engine): string {
  const { numSkippedChoices, expertLoad } = engine.stats();
  if (numSkippedChoices === 0) return '';
  const numComputed = expertLoad.reduce((sum, load_E) => load_E.reduce((a, b) => a + b, sum), 0);
  const share = (100 * numSkippedChoices) / (numSkippedChoices + numComputed);
  return `${numSkippedChoices} choices of experts skipped, ${share.toFixed(1)} % of all`;
}

/** Empty where all experts are in memory. */
function tierLine(engine: Engine): string {
  const all = engine.stats().ranks.flatMap(({ tiers }) => tiers ?? []);
  if (all.length === 0) return '';
  const sum = (of: (tiers: TierStats) => number): number => all.reduce((total, tiers) => total + of(tiers), 0);
  const uses = (kind: 'hits' | 'ahead' | 'warm' | 'waits'): number =>
    sum(({ layers }) => layers[kind].reduce((a, b) => a + b, 0));
  const numUses = uses('hits') + uses('ahead') + uses('warm') + uses('waits');
  const warm = all.find((tiers) => tiers.warm)?.warm;
  const share = (count: number): string => `${((100 * count) / Math.max(1, numUses)).toFixed(1)} %`;
  return [
    `${sum(({ numResident }) => numResident)} of ${sum(({ numHeld }) => numHeld)} experts in ${bytes(sum(({ residentBytes }) => residentBytes))} of memory, the others on disk`,
    `wanted ones: ${share(uses('hits'))} there, ${share(uses('ahead'))} read ahead, ${warm === undefined ? '' : `${share(uses('warm'))} as copies of ${warm.dtype} (not exact), `}${share(uses('waits'))} waited for`,
    `${sum(({ numReads }) => numReads)} reads of ${bytes(sum(({ readBytes }) => readBytes))}, steps waited ${ms(sum(({ waitMs }) => waitMs))}`,
  ].join(' · ');
}

/** Empty where experts stay where they are. */
function rebalanceLine(engine: Engine): string {
  const { rebalancing } = engine.stats();
  if (rebalancing === null) return '';
  const { numRebalances, numSkipped, numFailed, numMovedExperts, movedBytes, balancedness } = rebalancing;
  const { longestStallMs, longestStepMs, medianStepMs } = rebalancing;
  const parts = [
    `${numRebalances} ${numRebalances === 1 ? 'rebalance' : 'rebalances'} (${numSkipped} not worth it, ${numFailed} failed)`,
    `${numMovedExperts} experts and ${bytes(movedBytes)} moved`,
    ...(longestStepMs === null
      ? []
      : [`longest step meanwhile ${ms(longestStepMs)}, held up for ${ms(longestStallMs)} at most`]),
    ...(medianStepMs === null ? [] : [`median step otherwise ${ms(medianStepMs)}`]),
    ...(balancedness === null
      ? []
      : [
          `balancedness since the last rebalance ${balancedness.after.toFixed(2)} (as placed before: ${balancedness.before.toFixed(2)})`,
        ]),
  ];
  return parts.join(' · ');
}

const ms = (duration: number): string => `${duration.toFixed(1)} ms`;

/** [source][destination]; empty for a single rank, which sends nothing. */
function pairTable(what: string, matrix: readonly (readonly number[])[], textOf: (count: number) => string): string {
  if (matrix.length < 2) return '';
  const head = [what, ...matrix.map((_, to) => `rank ${to}`)];
  const rows = matrix.map((row, from) => [
    `rank ${from}`,
    ...row.map((count, to) => (from === to ? '·' : textOf(count))),
  ]);
  return table([head, ...rows]);
}

/** Choices per rank and MoE layer as bars, and per expert as one character each. */
function loadChart(engine: Engine): string {
  const { expertLoad, rankLoad, balancedness, rankStates } = engine.stats();
  const layers = expertLoad.map((load_E, moeLayer) => {
    const loads = [...rankLoad[moeLayer]!];
    const highest = Math.max(...loads);
    const head = `MoE layer ${moeLayer}: balancedness ${balancedness[moeLayer]!.toFixed(2)}`;
    const rows = loads.flatMap((load, rank) => {
      if (!isThere(rankStates[rank])) return [];
      const filled = bar(load, highest, BAR_WIDTH).padEnd(BAR_WIDTH);
      const count = String(load).padStart(6);
      return [`  rank ${rank} ${filled} ${count}  ${expertsOf(engine.placement, moeLayer, rank, load_E)}`];
    });
    return [head, ...rows].join('\n');
  });
  return [LOAD_HEADING, ...layers].join('\n');
}

/** Empty for a single rank, which is always in balance. */
function balanceChart(engine: Engine): string {
  const { balanceOverTime, numRanks, rebalancing } = engine.stats();
  if (numRanks === 1) return '';
  const heading = `balancedness over time (▁ 0 … █ 1, all layers${rebalancing === null ? '' : '; ^ experts moved'})`;
  return `${heading}\n  ${balanceLine(balanceOverTime, rebalancing?.rebalancedAt ?? [], BALANCE_WIDTH)}`;
}

function expertsOf(placement: Placement, moeLayer: number, rank: number, load_E: ArrayLike<number>): string {
  const { phy2log, slotsPerRank } = placement;
  const own = phy2log[moeLayer]!.subarray(rank * slotsPerRank, (rank + 1) * slotsPerRank);
  const held = [...new Set(own)].filter((e) => e >= 0);
  return sparkline(
    held.map((e) => load_E[e]!),
    Math.max(...Array.from(load_E)),
  );
}

/** Which experts each kind of prompt heats, from the routed experts of labelled prompts. */
function kindsChart(engine: Engine, completions: readonly Completion[]): string {
  const labelled = completions.filter(({ prompt, routedExperts }) => prompt.label !== null && routedExperts !== null);
  if (labelled.length === 0) return '';
  const numExperts = expertCountsOf(engine.spec);
  const width = Math.max(...labelled.map(({ prompt }) => prompt.label!.length));
  const numMoeLayers = engine.placement.phy2log.length;
  const blocks = Array.from({ length: numMoeLayers }, (_, moeLayer) => {
    const rows = labelled.map(({ prompt, routedExperts }) => {
      const counts = choicesOf(routedExperts!, numExperts)[moeLayer]!;
      const hottest = counts.indexOf(Math.max(...counts));
      return `  ${prompt.label!.padEnd(width)} ${sparkline(counts)}  hottest: expert ${hottest}`;
    });
    return [`MoE layer ${moeLayer}`, ...rows].join('\n');
  });
  return [`which of the ${countsText(numExperts)} experts each kind of text heats`, ...blocks].join('\n');
}
