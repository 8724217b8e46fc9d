/** Prompts of four kinds, each in two halves: a plan is made from the load of the first and judged by the second. */
import { uniform } from '../../base/philox.js';
import type { Tokenizer } from '../../lib/tokenizer/tokenizer.js';

export const KINDS = ['story', 'scripture', 'speech', 'code', 'random'] as const;
/** `random`: random tokens, for models without a tokenizer. */
export type Kind = (typeof KINDS)[number];

/** What prompts of a kind are cut from: public domain, and code of this project's kind. [half] */
const TEXTS: Readonly<Record<Exclude<Kind, 'random'>, readonly [string, string]>> = {
  story: [
    'Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and nothing particular to interest me ' +
      'on shore, I thought I would sail about a little and see the watery part of the world. It is a way I have of driving off the spleen and regulating ' +
      'the circulation. Whenever I find myself growing grim about the mouth; whenever it is a damp, drizzly November in my soul, I account it high time ' +
      'to get to sea as soon as I can.',
    'There now is your insular city of the Manhattoes, belted round by wharves as Indian isles by coral reefs; commerce surrounds it with her surf. ' +
      'Right and left, the streets take you waterward. Look at the crowds of water-gazers there. Posted like silent sentinels all around the town, ' +
      'stand thousands upon thousands of mortal men fixed in ocean reveries. Some leaning against the spiles; some seated upon the pier-heads; some ' +
      'looking over the bulwarks of ships from China.',
  ],
  scripture: [
    'In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness was upon the face of the deep. And ' +
      'the Spirit of God moved upon the face of the waters. And God said, Let there be light: and there was light. And God saw the light, that it was ' +
      'good: and God divided the light from the darkness. And God called the light Day, and the darkness he called Night.',
    'And the LORD spake unto Moses, saying, Speak unto the children of Israel, and say unto them, When ye be come into the land which I give unto you, ' +
      'and shall reap the harvest thereof, then ye shall bring a sheaf of the firstfruits of your harvest unto the priest: And he shall wave the sheaf ' +
      'before the LORD, to be accepted for you: on the morrow after the sabbath the priest shall wave it.',
  ],
  speech: [
    'Fellow citizens of the Senate and House of Representatives: I embrace with great satisfaction the opportunity which now presents itself of ' +
      'congratulating you on the present favorable prospects of our public affairs. The recent accession of the important State of North Carolina to ' +
      'the Constitution of the United States, the rising credit and respectability of our country, are circumstances auspicious in an eminent degree.',
    'The Congress of the United States has the power to provide for the common defense, and to be prepared for war is one of the most effectual means of ' +
      'preserving peace. A free people ought not only to be armed, but disciplined; to which end a uniform and well digested plan is requisite; and their ' +
      'safety and interest require that they should promote such manufactories as tend to render them independent of others for military supplies.',
  ],
  code: [
    '/**\n * Computes the sum of two tensors, element by element.\n */\nexport function add(a: Tensor, b: Tensor): Tensor {\n  assertShapesMatch(a.shape, ' +
      "b.shape, 'add');\n  const values = new Float32Array(a.size);\n  for (let i = 0; i < a.size; i++) {\n    values[i] = a.values[i] + b.values[i];\n  }\n" +
      '  return tensor(values, a.shape, a.dtype);\n}\n\nexport function zeros(shape: number[]): Tensor {\n  return tensor(new Float32Array(size(shape)), shape);\n}\n',
    'export class Layer {\n  private readonly kernel: Variable;\n  protected bias: Variable = null;\n\n  constructor(config: LayerConfig) {\n    super(config);\n' +
      '    this.units = config.units;\n    this.activation = getActivation(config.activation);\n  }\n\n  build(inputShape: Shape): void {\n    const inputDim = ' +
      "inputShape[inputShape.length - 1];\n    this.kernel = this.addWeight('kernel', [inputDim, this.units], null, this.initializer);\n    this.built = true;\n  }\n}\n",
  ],
};

/** How many prompts of which kind and length, and the seed of where they are cut from their text. */
export interface TrafficShape {
  readonly kind: Kind;
  readonly numPrompts: number;
  readonly promptTokens: number;
  readonly seed: number;
}

/**
 * Prompts of one half: stretches of `promptTokens` tokens from different places of the text, repeated where it ends.
 */
export function promptsOf(
  half: 0 | 1,
  { kind, numPrompts, promptTokens, seed }: TrafficShape,
  vocabSize: number,
  tokenizer: Tokenizer | undefined,
): number[][] {
  const text = kind === 'random' || tokenizer === undefined ? null : [...tokenizer.encode(TEXTS[kind][half])];
  return Array.from({ length: numPrompts }, (_, prompt) => {
    const stream = half * numPrompts + prompt;
    const tokenAt = (i: number): number => Math.floor(uniform(seed, stream, i) * vocabSize);
    if (text === null) return Array.from({ length: promptTokens }, (_, i) => tokenAt(i));
    const start = Math.floor(uniform(seed, stream, 0) * text.length);
    return Array.from({ length: promptTokens }, (_, i) => text[(start + i) % text.length]!);
  });
}
