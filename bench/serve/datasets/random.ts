/** `--dataset random`: prompts that share nothing. Pure. */
import { single } from '../load/conversation.js';
import { drawnLengths } from '../load/lengths.js';
import { streamOf } from '../load/streams.js';
import type { Dataset, DatasetSetting } from './dataset.js';
import { Fitting } from './fitting.js';

/** Mean lengths in tokens; each is drawn from mean · (1 ± rangeRatio). */
export interface RandomOptions {
  readonly inputLen: number;
  readonly outputLen: number;
  /** 0: all alike; below 1. */
  readonly rangeRatio: number;
}

/** Random prompts of drawn lengths. */
export function randomDataset(setting: DatasetSetting, { inputLen, outputLen, rangeRatio }: RandomOptions): Dataset {
  const { numPrompts, seed, make, maxModelLen } = setting;
  const inputs = drawnLengths(numPrompts, inputLen, rangeRatio, seed, 'input lengths');
  const outputs = drawnLengths(numPrompts, outputLen, rangeRatio, seed, 'output lengths');
  const fitting = new Fitting(maxModelLen);
  const conversations = inputs.map((drawn, i) => {
    const { input, output } = fitting.fit({ input: drawn, output: outputs[i]! });
    return single(make([{ stream: streamOf('bodies', i), numTokens: input }]), output);
  });
  const about = `random: ${inputLen} tokens in, ${outputLen} out, range ratio ${rangeRatio}`;
  return { conversations, notes: [about, ...fitting.notes()] };
}
