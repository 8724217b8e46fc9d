/** The options of `expertwire bench peers`, checked. */
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '../../lib/commands/base/context.js';
import { list, seedNumber, wholeNumber, wholeNumbers } from '../../lib/commands/base/numbers.js';
import { benchParser } from '../base/options.js';
import { DTYPES, type Dtype } from './engines/engine.js';

/** What can be measured, in the order in which it is. */
export const SECTIONS = ['generation', 'machine', 'exchange', 'start'] as const;
/** One of {@link SECTIONS}. */
export type SectionName = (typeof SECTIONS)[number];

/** Who can be beside us. */
export const PEERS = ['llama.cpp', 'transformers', 'torch', 'gloo', 'mpi'] as const;
/** One of {@link PEERS}. */
export type PeerName = (typeof PEERS)[number];

/** What is measured, on what, beside whom. */
export interface PeersOptions {
  readonly sections: readonly SectionName[];
  readonly peers: readonly PeerName[];
  /** Holds the peers' Python, their files of the model, and the model where none is given. */
  readonly dir: string;
  readonly model: string | undefined;
  readonly python: string | undefined;
  readonly node: string;
  readonly llamaBench: string | undefined;
  readonly dtypes: readonly Dtype[];
  readonly cores: readonly number[];
  readonly ranks: number;
  readonly batches: readonly number[];
  readonly promptTokens: number;
  readonly context: number;
  readonly steps: number;
  readonly messages: readonly number[];
  /** Per rank, of a dispatch and combine. */
  readonly tokens: readonly number[];
  readonly exchangeRanks: readonly number[];
  readonly rounds: number;
  readonly seed: number;
  readonly set: readonly string[];
  readonly json: string | undefined;
}

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): PeersOptions {
  const numCores = availableParallelism();
  const what =
    'What other engines reach on the same checkpoint and cores, in turns with ours: ratios with their spread. A peer that is missing is told, with what installs it.';
  const parsed = benchParser('peers', args, what)
    .option('only', { type: 'string', default: SECTIONS.join(','), describe: 'what is measured' })
    .option('peers', { type: 'string', default: PEERS.join(','), describe: 'who is beside us' })
    .option('dir', {
      type: 'string',
      default: join(tmpdir(), 'expertwire-peers'),
      defaultDescription: 'expertwire-peers among temporary files',
      describe: "folder for the peers' Python (venv, as scripts/peers/install.sh makes it), model and GGUF files",
    })
    .option('model', {
      type: 'string',
      requiresArg: true,
      describe: 'model folder (default: a random Qwen3-MoE of 1.1 GB, made in --dir)',
    })
    .option('python', {
      type: 'string',
      requiresArg: true,
      describe: "that has the peers (default: --dir's venv, else python3)",
    })
    .option('node', {
      type: 'string',
      default: process.execPath,
      defaultDescription: 'this one',
      describe: 'runs our side',
    })
    .option('llama-bench', {
      type: 'string',
      requiresArg: true,
      describe: "llama.cpp's own llama-bench, llama-batched-bench beside it, instead of llama-cpp-python",
    })
    .option('dtypes', {
      type: 'string',
      default: DTYPES.join(','),
      describe: 'of weights; int8 beside q8_0, int4 beside q4_0, with activations of 8 bits as there',
    })
    .option('cores', {
      type: 'string',
      default: numCores === 1 ? '1' : '1,2',
      defaultDescription: '1,2, or 1 where there is no second',
      describe: 'cores (threads) of every engine, at most those of this machine',
    })
    .option('ranks', {
      type: 'number',
      default: 1,
      describe: 'our ranks, at most one per core, which share out the cores',
    })
    .option('batches', { type: 'string', default: '1,32', describe: 'sequences that decode at a time' })
    .option('prompt-tokens', { type: 'number', default: 128, describe: 'tokens of the prompt that is prefilled' })
    .option('context', { type: 'number', default: 64, describe: 'tokens before the first that is decoded' })
    .option('steps', {
      type: 'number',
      default: 32,
      describe: 'steps of a decoding run; an eighth of them for more than one sequence',
    })
    .option('messages', {
      type: 'string',
      default: '4096,65536,1048576',
      describe: 'bytes from each rank to each other in an exchange',
    })
    .option('tokens', {
      type: 'string',
      default: '1,128,4096',
      describe: 'tokens per rank whose dispatch and combine are beside as many bytes of others',
    })
    .option('exchange-ranks', { type: 'string', default: '2,4', describe: 'ranks that exchange tokens' })
    .option('rounds', { type: 'number', default: 5, describe: 'in turns; medians and spread are of these' })
    .option('seed', { type: 'number', default: 1, describe: 'of prompts, and of the random model' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key of ours' })
    .option('json', { type: 'string', requiresArg: true, describe: 'file for all figures' })
    .parseSync();
  const { promptTokens, context, steps, rounds, ranks } = parsed;
  const counts = { 'prompt-tokens': promptTokens, context, steps, rounds, ranks };
  for (const [name, value] of Object.entries(counts)) wholeNumber(`--${name}`, value, 1);
  seedNumber('--seed', parsed.seed);
  return {
    ...{ promptTokens, context, steps, rounds, ranks, seed: parsed.seed, set: parsed.set, json: parsed.json },
    ...{
      dir: parsed.dir,
      model: parsed.model,
      python: parsed.python,
      node: parsed.node,
      llamaBench: parsed.llamaBench,
    },
    sections: some('only', parsed.only, SECTIONS),
    peers: some('peers', parsed.peers, PEERS),
    dtypes: some('dtypes', parsed.dtypes, DTYPES),
    cores: wholeNumbers('--cores', parsed.cores, 1, numCores),
    batches: wholeNumbers('--batches', parsed.batches, 1),
    messages: wholeNumbers('--messages', parsed.messages, 1, 2 ** 26),
    tokens: wholeNumbers('--tokens', parsed.tokens, 1, 2 ** 13),
    exchangeRanks: wholeNumbers('--exchange-ranks', parsed.exchangeRanks, 2, 64),
  };
}

function some<T extends string>(option: string, text: string, known: readonly T[]): T[] {
  return list(text).map((part) => {
    const found = known.find((each) => each === part);
    if (found !== undefined) return found;
    throw new UsageError(`--${option}: there is no '${part}'; give some of ${known.join(',')}`);
  });
}
