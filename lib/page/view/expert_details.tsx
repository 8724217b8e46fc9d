/** What is known of one expert. */
import type { VNode } from 'preact';
import type { ExpertMap, ExpertPlace } from '../state/expert_map.js';
import { count, digits, plural } from '../state/numbers.js';
import type { TokenTrace } from '../state/token_trace.js';

interface ExpertDetailsProps {
  readonly map: ExpertMap;
  readonly moeLayers: readonly number[];
  /** Null: none is pointed at or selected. */
  readonly place: ExpertPlace | null;
  readonly trace: TokenTrace;
}

/** Its layer, load, ranks, and how many tokens of the prompt box took it. */
export function ExpertDetails({ map, moeLayers, place, trace }: ExpertDetailsProps): VNode {
  if (place === null) return <p class="details">Point at an expert, or go over the map with the arrow keys.</p>;
  const took =
    trace.tokens.length === 0
      ? ''
      : `; ${count(trace.numTaking(place))} of ${plural(trace.tokens.length, 'token')} below took it`;
  return <p class="details">{placeText(map, moeLayers, place) + took}</p>;
}

/** One sentence. */
export function placeText(map: ExpertMap, moeLayers: readonly number[], place: ExpertPlace): string {
  const ranks = ranksText(map.ranksOf(place));
  const load = `${digits(map.relativeLoadOf(place))} × its layer’s mean, about ${plural(map.loadOf(place), 'token')}`;
  return `Layer ${moeLayers[place.layer]!}, expert ${place.expert}: ${load}, ${ranks}`;
}

/** Where an expert is, in words. */
export function ranksText(ranks: readonly number[]): string {
  if (ranks.length === 0) return 'on no rank that is left';
  return `on rank ${[...new Set(ranks)].join(' and ')}`;
}
