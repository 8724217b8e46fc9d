/** How each engine is started on some cores with some dtype. */
import { isCoded } from '../../../compute/base/weight_matrix.js';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../../../lib/commands/base/context.js';
import { peerScript } from '../../../lib/config/package_files.js';
import type { Pin } from './cores.js';
import type { Dtype, EngineSetting, PeerEngine } from './engine.js';
import { LineProcess } from './line_process.js';
import { startEngine } from './order_engine.js';
import type { OursOptions } from './ours_process.js';

/** What all of them need to know. */
export interface Places {
  readonly model: string;
  /** The file of each dtype, for llama.cpp. */
  readonly gguf: Readonly<Record<Dtype, string>>;
  /** That has the peers' modules. */
  readonly python: string;
  /** llama.cpp's own tools, where they are to be used. */
  readonly llamaBench: string | null;
  /** Runs our side. */
  readonly node: string;
  /** Our ranks, at most one per core. */
  readonly ranks: number;
  readonly set: readonly string[];
  readonly pin: Pin;
}

/** Starts an engine and waits for its model. */
export type Start = (places: Places, setting: EngineSetting, signal: AbortSignal) => Promise<PeerEngine>;

/** Our engine, with all that a user's has: head, rank, scheduler, sampler. Its threads share out the cores that it may use. */
export const startOurs: Start = (places, { dtype, cores, maxSeqs, maxTokens }, signal) => {
  const ranks = Math.min(places.ranks, cores);
  const blocks = 2 * (maxSeqs + 2) * Math.ceil(maxTokens / BLOCK_SIZE); // prompts stay in the prefix cache, others come beside them
  const set = [
    `experts.resident=${dtype}`,
    `dense.resident=${dtype}`,
    ...(isCoded(dtype) ? ['kernels.activations=int8'] : []), // as llama.cpp has them
    'engine.prefix_cache=any',
    `engine.block_size=${BLOCK_SIZE}`,
    `engine.max_num_seqs=${maxSeqs}`,
    `engine.max_num_waiting=${maxSeqs}`,
    `engine.max_model_len=${maxTokens}`,
    `engine.num_kv_blocks=${blocks}`,
    ...places.set,
  ];
  const options: OursOptions = { model: places.model, ranks, set };
  const file = fileURLToPath(new URL('ours_process.js', import.meta.url));
  return startEngine('expertwire', places.pin.on(cores, places.node, [file, JSON.stringify(options)]), signal);
};

const BLOCK_SIZE = 16;

/** By PyPI's llama-cpp-python. */
export const startLlamaPython: Start = ({ gguf, python, pin }, { dtype, cores, maxSeqs, maxTokens }, signal) => {
  const numbers = [cores, maxSeqs, maxTokens].map(String);
  return startEngine(
    'llama.cpp',
    pin.on(cores, python, [peerScript('llama_cpp_peer.py'), gguf[dtype], ...numbers]),
    signal,
  );
};

/** On the CPU. @throws UsageError for codes, which it hasn't */
export const startTransformers: Start = ({ model, python, pin }, { dtype, cores }, signal) => {
  if (isCoded(dtype)) throw new UsageError(`transformers has no ${dtype} weights of its own; leave it out of --dtypes`);
  const args = [peerScript('transformers_peer.py'), model, dtype, String(cores)];
  return startEngine('transformers', pin.on(cores, python, args), signal);
};

/** The loop that reads memory. */
export async function startStream(
  { node, pin }: Pick<Places, 'node' | 'pin'>,
  cores: number,
  signal: AbortSignal,
): Promise<LineProcess> {
  const args = [fileURLToPath(new URL('stream_process.js', import.meta.url)), String(cores)];
  const { process } = await LineProcess.start('memory stream', pin.on(cores, node, args), signal);
  return process;
}
