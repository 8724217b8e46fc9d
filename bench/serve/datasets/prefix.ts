/** `--dataset prefix`: prompts that begin with one of a few prefixes and end each in its own way. Pure. */
import { single } from '../load/conversation.js';
import { drawnLengths } from '../load/lengths.js';
import { Draws, streamOf } from '../load/streams.js';
import type { Dataset, DatasetSetting } from './dataset.js';
import { Fitting } from './fitting.js';

/** Lengths in tokens. */
export interface PrefixOptions {
  readonly numPrefixes: number;
  readonly prefixLen: number;
  readonly suffixLen: number;
  readonly outputLen: number;
  /** Of suffixes and answers; prefixes are all alike. */
  readonly rangeRatio: number;
}

/** As many prompts of each prefix, in a drawn order. A prompt that doesn't fit loses tokens of its suffix first. */
export function prefixDataset(setting: DatasetSetting, options: PrefixOptions): Dataset {
  const { numPrompts, seed, make, maxModelLen } = setting;
  const { numPrefixes, prefixLen, suffixLen, outputLen, rangeRatio } = options;
  const suffixes = drawnLengths(numPrompts, suffixLen, rangeRatio, seed, 'input lengths');
  const outputs = drawnLengths(numPrompts, outputLen, rangeRatio, seed, 'output lengths');
  const fitting = new Fitting(maxModelLen);
  const conversations = prefixOfEach(numPrompts, numPrefixes, seed).map((prefix, i) => {
    const { input, output } = fitting.fit({ input: prefixLen + suffixes[i]!, output: outputs[i]! });
    const shared = Math.min(prefixLen, Math.max(0, input - 1));
    const pieces = [
      { stream: streamOf('prefixes', prefix), numTokens: shared },
      { stream: streamOf('behind prefixes', i), numTokens: input - shared },
    ];
    return single(make(pieces), output);
  });
  const about = `prefix: ${numPrefixes} prefixes of ${prefixLen} tokens, suffixes of ${suffixLen}, ${outputLen} out, range ratio ${rangeRatio}`;
  return { conversations, notes: [about, ...fitting.notes()] };
}

function prefixOfEach(numPrompts: number, numPrefixes: number, seed: number): number[] {
  const draws = new Draws(seed, streamOf('prefix of each'));
  const prefixes = Array.from({ length: numPrompts }, (_, i) => i % numPrefixes);
  for (let i = prefixes.length - 1; i > 0; i--) {
    const j = draws.between(0, i);
    [prefixes[i], prefixes[j]] = [prefixes[j]!, prefixes[i]!];
  }
  return prefixes;
}
