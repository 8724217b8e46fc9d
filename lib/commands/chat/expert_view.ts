/** An answer whose tokens have the colours of their experts. Pure. */
import type { TracedToken } from './answers/answer_trace.js';
import { terminalText } from './terminal_text.js';

/** Of the 256 colours of terminals: far from each other, and read on dark and light grounds. */
const COLORS = [39, 208, 34, 198, 141, 178, 37, 169, 106, 69, 173, 245];

/** What is shown. */
export interface ExpertView {
  readonly tokens: readonly TracedToken[];
  /** Of the MoE layers, from 0. */
  readonly layer: number;
  readonly numLayers: number;
  /** Without colours, numbers tell the experts. */
  readonly isColored: boolean;
}

/** A heading, the answer and its experts, most used first. Lines without an end of the last. */
export function expertView({ tokens, layer, numLayers, isColored }: ExpertView): string {
  const firstOf = ({ experts }: TracedToken): number | null => experts?.[layer]?.[0] ?? null;
  const counts = countsOf(tokens.map(firstOf));
  const colorOf = new Map(counts.slice(0, COLORS.length).map(({ expert }, i) => [expert, COLORS[i]!]));
  const painted = (text: string, expert: number | null): string => {
    const color = expert === null ? undefined : colorOf.get(expert);
    return color === undefined || text === '' ? text : `\u001b[38;5;${color}m${text}\u001b[39m`;
  };
  const heading = `MoE layer ${layer} of 0 … ${numLayers - 1}: each token by its first expert`;
  const answer = runsOf(tokens, firstOf)
    .map(({ text, expert }) => (isColored ? painted(text, expert) : `[${expert ?? '–'}]${text}`))
    .join('');
  const legend = counts.map(({ expert, numTokens }) => {
    const text = `expert ${expert} ×${numTokens}`;
    return isColored ? painted(`■ ${text}`, expert) : text;
  });
  return [heading, answer.trimEnd(), legend.join('  ')].join('\n');
}

function countsOf(experts: readonly (number | null)[]): { readonly expert: number; readonly numTokens: number }[] {
  const counts = new Map<number, number>();
  for (const expert of experts) if (expert !== null) counts.set(expert, (counts.get(expert) ?? 0) + 1);
  return [...counts]
    .map(([expert, numTokens]) => ({ expert, numTokens }))
    .sort((a, b) => b.numTokens - a.numTokens || a.expert - b.expert);
}

/** Neighbours of one expert together. */
function runsOf(
  tokens: readonly TracedToken[],
  firstOf: (token: TracedToken) => number | null,
): { text: string; readonly expert: number | null }[] {
  const runs: { text: string; readonly expert: number | null }[] = [];
  for (const token of tokens) {
    const [expert, text] = [firstOf(token), terminalText(token.text)];
    const last = runs.at(-1);
    if (last?.expert === expert) last.text += text;
    else runs.push({ text, expert });
  }
  return runs;
}
