/** How a job of one seed is set up: every part of the engine that ranks which come and go could put into disorder. Pure. */
import { WIRE_DTYPES } from '../../../comm/codec/wire_dtype.js';
import type { MlaForm } from '../../../lib/model/spec/spec.js';
import { randomFrom } from '../../refs/random.js';

/** Of a job. */
export interface SeededSettings {
  /** A tiny model, or a family of the conformance tests. */
  readonly model: string;
  readonly mla: MlaForm;
  /** Keys that change bits: an undisturbed run has them, too. */
  readonly bits: readonly string[];
  /** Keys that change none. */
  readonly free: readonly string[];
  readonly numSpares: number;
}

/** Attention of both kinds, windows, a shared expert, weights in fp8, and states instead of keys and values. */
export const MODELS = [
  ...['tiny-deepseek-v3', 'tiny-deepseek-v3', 'tiny-qwen3-moe', 'tiny-gpt-oss', 'tiny-deepseek-v3-fp8'],
  ...['tiny-qwen2-moe', 'qwen3_next', 'lfm2_moe', 'deepseek_v32'],
] as const;
/** What tensors don't compute. */
const KERNELS_ONLY: ReadonlySet<string> = new Set(['qwen3_next', 'lfm2_moe', 'deepseek_v32']);
const FORMS: readonly MlaForm[] = ['naive', 'absorbed', 'auto'];
/** Mostly exact. */
const WIRES = ['f32', 'f32', 'f32', 'f32', ...WIRE_DTYPES] as const;

/** Of a job that may have so many ranks. `minRanks`: the policy leaves so many. */
export function seededSettings(
  seed: number,
  { minRanks, numSeats }: { minRanks: number; numSeats: number },
): SeededSettings {
  const random = randomFrom(seed ^ 0x5e771e5);
  const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const maybe = (chance: number, keys: Readonly<Record<string, unknown>>): string[] =>
    random() < chance ? keysOf(keys) : [];
  const numSpares = one([0, 0, 0, 1, 2]);
  const blockSize = one([16, 16, 4, 1]);
  const model = one(MODELS);
  const drawn = one(['kernels', 'kernels', 'kernels', 'tensors']);
  const compute = KERNELS_ONLY.has(model) ? 'kernels' : drawn;
  const resident = one(['auto', 'auto', 'auto', 'bf16', 'int8']);
  const numTokens = one([512, 512, 32, 9]);
  return {
    model,
    mla: one(FORMS),
    bits: keysOf({
      compute,
      'experts.resident': compute === 'tensors' && resident === 'int8' ? 'auto' : resident,
      'comm.wire.dispatch': one(WIRES),
      'comm.wire.combine': one(WIRES),
    }),
    free: [
      ...keysOf({
        'engine.prefix_cache': one(['off', 'exact', 'exact']),
        'engine.max_num_batched_tokens': numTokens,
        'engine.max_num_seqs': Math.min(numTokens, one([64, 64, 3])),
        'engine.block_size': blockSize,
        'engine.scheduling': one(['fcfs', 'priority', 'lpm']),
        'experts.replica_choice': one(['balanced', 'balanced', 'local_first', 'round_robin', 'allgather']),
      }),
      // Two or three sequences fill the cache, so that some give way.
      ...maybe(0.3, { 'engine.max_model_len': 64, 'engine.num_kv_blocks': Math.ceil(128 / blockSize) }),
      ...maybe(0.5, {
        ...{ 'load_balance.enabled': true, 'load_balance.step_interval': 2, 'load_balance.cool_down': 1 },
        ...{ 'load_balance.min_gain': 0, 'load_balance.window_size': 4 },
        'load_balance.planner': one(['eplb', 'eplb_stable', 'eplb_stable', 'biased']),
        'load_balance.bytes_per_step': one([1_000_000, 20_000]),
      }),
      ...maybe(0.25, {
        ...{ 'elastic.enabled': true, 'elastic.min_ranks': minRanks, 'elastic.max_ranks': numSeats - numSpares },
        ...{ 'elastic.interval_steps': 3, 'elastic.cool_down': 3, 'elastic.up': 1, 'elastic.down': 0 },
      }),
      ...maybe(0.2, { 'parallel.on_slow': 'demote', 'parallel.slow_factor': 1.05 }),
    ],
    numSpares,
  };
}

const keysOf = (keys: Readonly<Record<string, unknown>>): string[] =>
  Object.entries(keys).map(([key, value]) => `${key}=${String(value)}`);
