import * as z from 'zod';
import { MAX_RANKS } from '../../base/ids.js';
import { KV_DTYPES } from '../../compute/base/kv_dtype.js';
import { MAX_THREADS } from '../../compute/wasm/threads/crew_words.js';
import { CHOICE_DTYPES } from '../../compute/base/weight_matrix.js';
import { ACTIVATIONS } from '../../compute/wasm/memory/kernel_settings.js';
import { CLUSTER_DEFAULTS, clusterSection } from './cluster_schema.js';
import { instancesSection } from './instances_schema.js';
import { kvTiersSection } from './kv_tiers_schema.js';
import {
  auto,
  autoOrInteger,
  boolean,
  choice,
  infoAt,
  integer,
  key,
  keysIn,
  named,
  pemFile,
  sizeOrNull,
  type KeyInfo,
} from './key_types.js';
import { OWN_GATE } from './plugin_names.js';
import { ROUTER_DEFAULTS, routerSection } from './router_schema.js';
import { ROUTING_ALLOWED } from './routing_text.js';

/** Of things that arrays are made of; more is a slip. */
const MAX_COUNT = 2 ** 24;
/** That experts are divided into. */
export const MAX_SLICES = 1024;
/** Of copies of experts. */
const WARM_DTYPES = ['bf16', 'fp8', 'int8', 'int4', 'uint4'] as const;
const MAX_STEPS = 2 ** 31 - 1;

const strings = key(z.array(z.string().min(1)).readonly(), 'a list of non-empty strings', 'list');
const pluginFile = z.string().min(1);
const pluginEntry = z
  .union([
    pluginFile.transform((path): ConfigPlugin => ({ path, options: {} })),
    z
      .strictObject({ path: pluginFile, options: z.record(z.string(), z.json()).optional() })
      .transform(({ path, options = {} }): ConfigPlugin => ({ path, options })),
  ])
  .readonly();
const prompt = z.union([z.string(), z.strictObject({ label: z.string(), text: z.string() }).readonly()]);

/**
 * Every key of the configuration, as it is written in YAML. Holds no defaults: they are in {@link DEFAULTS}, which is
 * laid under what the user gave before the whole is checked.
 */
export const configSchema = z.strictObject({
  model: key(z.string().min(1), "the path of a model folder, or ORG/NAME of a model in the hub's cache", 'string'),
  model_overrides: key(z.record(z.string(), z.json()).readonly(), 'a mapping of fields of config.json', 'mapping'),
  plugins: key(z.array(pluginEntry).readonly(), 'a list of paths of modules, or of { path, options }', 'list'),
  backend: choice('auto', 'tensorflow', 'webgpu', 'wasm', 'cpu'),
  webgpu: z
    .strictObject({ adapter: key(z.string().min(1).nullable(), "part of a GPU's name, or null", 'string', 'null') })
    .readonly(),
  compute: choice('auto', 'kernels', 'tensors'),
  kernels: z
    .strictObject({
      simd: key(z.union([auto, z.literal(128), z.literal(256)]), 'auto, 128 or 256', 'string', 'number'),
      fma: choice('auto', 'on', 'off'),
      activations: choice(...ACTIVATIONS),
    })
    .readonly(),
  parallel: z
    .strictObject({
      ranks: integer(0, MAX_RANKS),
      threads: autoOrInteger(1, MAX_THREADS),
      max_ranks: autoOrInteger(1, MAX_RANKS),
      spare_ranks: integer(0, MAX_RANKS),
      slow_factor: key(z.number().gt(1).max(1e6), 'a number > 1', 'number'),
      on_slow: choice('ignore', 'warn', 'demote'),
      head_grace_ms: integer(0, 86_400_000),
    })
    .readonly(),
  elastic: z
    .strictObject({
      enabled: boolean,
      min_ranks: integer(1, MAX_RANKS),
      max_ranks: autoOrInteger(1, MAX_RANKS),
      metric: choice('waiting', 'kv_usage', 'step_ms'),
      up: key(z.number().min(0).max(1e9), 'a number ≥ 0', 'number'),
      down: key(z.number().min(0).max(1e9), 'a number ≥ 0', 'number'),
      interval_steps: integer(1, MAX_STEPS),
      cool_down: integer(0, MAX_STEPS),
    })
    .readonly(),
  experts: z
    .strictObject({
      placement: key(z.string().min(1), 'linear, round_robin, or the path of a placement file', 'string'),
      num_redundant_experts: integer(0, MAX_COUNT),
      replica_choice: named('experts.replica_choice'),
      gate: named('experts.gate'),
      defer: integer(0, MAX_COUNT),
      skip_threshold: key(z.number().min(0).max(1), 'a number from 0 to 1', 'number'),
      routing: key(z.string().min(1), ROUTING_ALLOWED, 'string'),
      routing_seed: integer(0, 2 ** 32 - 1),
      resident: choice('auto', ...CHOICE_DTYPES),
      slices: autoOrInteger(1, MAX_SLICES),
      max_resident_bytes: sizeOrNull,
      tier_policy: named('experts.tier_policy'),
      warm: z.strictObject({ bytes: sizeOrNull, dtype: choice(...WARM_DTYPES) }).readonly(),
    })
    .readonly(),
  dense: z.strictObject({ resident: choice('auto', ...CHOICE_DTYPES) }).readonly(),
  resident_overrides: key(
    z.record(z.string(), choice('auto', ...CHOICE_DTYPES)).readonly(),
    'a mapping of names of tensors with * to types',
    'mapping',
  ),
  load_balance: z
    .strictObject({
      enabled: boolean,
      planner: named('load_balance.planner'),
      window_size: integer(1, 16_384),
      decay: key(z.number().gt(0).max(1), 'a number > 0 and ≤ 1 (1 = all steps of the window alike)', 'number'),
      step_interval: integer(1, MAX_STEPS),
      min_gain: key(z.number().min(0).max(1), 'a number from 0 to 1', 'number'),
      cool_down: integer(0, MAX_STEPS),
      layer_updates_per_step: integer(1, MAX_COUNT),
      bytes_per_step: integer(1, 0x3fffffff),
    })
    .readonly(),
  comm: z
    .strictObject({
      wire: z.strictObject({ dispatch: named('comm.wire.dispatch'), combine: named('comm.wire.combine') }).readonly(),
      reduce: choice('rank', 'source'),
      timeout_ms: integer(1, 86_400_000),
      micro_batches: integer(1, 8),
      transport: choice('ws', 'threads'),
      io_thread: boolean,
      num_nodes: integer(1, MAX_RANKS),
      tls: z.strictObject({ cert: pemFile, key: pemFile, ca: pemFile }).readonly(),
      on_peer_loss: choice('auto', 'recover', 'mask', 'fail'),
    })
    .readonly(),
  engine: z
    .strictObject({
      max_num_seqs: integer(1, 65_536),
      max_num_batched_tokens: integer(1, 2 ** 20),
      block_size: integer(1, 65_536),
      num_kv_blocks: autoOrInteger(1, 10_000_000),
      kv_dtype: choice(...KV_DTYPES),
      max_model_len: autoOrInteger(1, MAX_COUNT),
      scheduling: choice('fcfs', 'priority', 'lpm'),
      max_num_waiting: integer(0, 2 ** 20),
      prefix_cache: choice('auto', 'off', 'exact', 'any'),
      kv_pin_max_ms: integer(0, 86_400_000),
      kv_pin_share: key(z.number().min(0).max(1), 'a number from 0 to 1', 'number'),
      kept_states: autoOrInteger(0, 10_000_000),
      state_interval: integer(1, MAX_COUNT),
      kv_tiers: kvTiersSection,
      kv_pool: choice('auto', 'on', 'off'),
      kv_bring: choice('auto', 'always'),
      mla: choice('auto', 'naive', 'absorbed'),
      seed: integer(0, Number.MAX_SAFE_INTEGER),
    })
    .readonly(),
  cluster: clusterSection,
  router: routerSection,
  instances: instancesSection,
  generate: z
    .strictObject({
      prompts: key(z.array(prompt).readonly(), 'a list of strings or of { label, text }', 'list'),
      max_new_tokens: integer(1, MAX_COUNT),
      temperature: key(z.number().min(0), 'a number ≥ 0 (0 = greedy)', 'number'),
      top_k: integer(0, MAX_COUNT),
      top_p: key(z.number().gt(0).max(1), 'a number > 0 and ≤ 1 (1 = off)', 'number'),
      min_p: key(z.number().min(0).max(1), 'a number from 0 (off) to 1', 'number'),
      repetition_penalty: key(z.number().min(1e-3).max(1e3), 'a number from 0.001 to 1000 (1 = off)', 'number'),
      presence_penalty: key(z.number().min(-2).max(2), 'a number from −2 to 2 (0 = off)', 'number'),
      frequency_penalty: key(z.number().min(-2).max(2), 'a number from −2 to 2 (0 = off)', 'number'),
      min_tokens: integer(0, MAX_COUNT),
      seed: key(
        z.int().min(0).nullable(),
        'an integer from 0 to 2^53 − 1, or null to have one drawn',
        'number',
        'null',
      ),
      stop: strings,
      ignore_eos: boolean,
      chat: boolean,
      system: key(z.string().nullable(), 'a text, or null', 'string', 'null'),
      chat_template: key(
        z.string().min(1).nullable(),
        "the name of one of the model's templates, or null",
        'string',
        'null',
      ),
      chat_template_kwargs: key(
        z.record(z.string(), z.json()).readonly(),
        'a mapping of what chat templates see',
        'mapping',
      ),
    })
    .readonly(),
  server: z
    .strictObject({
      host: key(z.string().min(1).toLowerCase(), 'a name or an IP address', 'string'),
      port: integer(0, 65_535),
      served_model_name: key(z.string().min(1).nullable(), 'a name, or null', 'string', 'null'),
      tls: z.strictObject({ cert: pemFile, key: pemFile }).readonly(),
      allowed_hosts: strings,
      cors_origins: strings,
      max_connections: integer(1, 65_536),
      max_url_bytes: integer(64, 65_536),
      max_header_bytes: integer(1024, 2 ** 20),
      max_body_bytes: integer(1024, 2 ** 30),
      max_choices: integer(1, 65_536),
      max_unread_bytes: integer(1024, 2 ** 30),
      request_timeout_ms: integer(100, 86_400_000),
      keep_alive_timeout_ms: integer(1, 86_400_000),
      slow_reader_timeout_ms: integer(1, 86_400_000),
      drain_timeout_ms: integer(0, 86_400_000),
      log_level: choice('debug', 'info', 'warn', 'error', 'silent'),
      metrics: choice('lean', 'full'),
      journal: key(z.string().min(1).nullable(), 'the path of a file, or null', 'string', 'null'),
      record_dir: key(z.string().min(1).nullable(), 'the path of a folder, or null', 'string', 'null'),
      batches: z
        .strictObject({
          folder: key(z.string().min(1).nullable(), 'the path of a folder, or null', 'string', 'null'),
          max_file_bytes: integer(1024, 2 ** 40),
          max_bytes: integer(1024, 2 ** 50),
          max_lines: integer(1, 10_000_000),
          max_batches: integer(1, 100_000),
          concurrency: integer(1, 65_536),
        })
        .readonly(),
    })
    .readonly(),
});

/**
 * A checked configuration with every key present; keys are spelled as in YAML.
 * @interface
 */
export type ExpertwireConfig = Readonly<z.infer<typeof configSchema>>;

/** A plug-in of the configuration. */
export interface ConfigPlugin {
  /** Of its module; absolute in a loaded configuration. */
  readonly path: string;
  /** What its function is given: data as JSON has it. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** A prompt of the configuration: plain text, or text with a label for reports. */
export type ConfigPrompt = z.infer<typeof prompt>;

/** The value of every key that the user does not give; `model` has none. Limits of `engine` are per rank. */
export const DEFAULTS: Omit<ExpertwireConfig, 'model'> = {
  model_overrides: {}, // fields of config.json, for experiments
  plugins: [], // modules that bring gates, planners, replica choices, codecs and families
  backend: 'auto',
  webgpu: { adapter: null }, // the fastest GPU
  compute: 'auto', // the fused kernels where the backend is wasm, TensorFlow.js operations elsewhere
  kernels: {
    simd: 'auto', // bits of an operation: 256 where a trial shows that V8 can, with the same results
    fma: 'auto', // fused multiply-add where all ranks can
    activations: 'f32', // beside int8, int4 and uint4 weights, int16 or int8 compute in whole numbers: faster, and other results
  },
  parallel: {
    ranks: 1,
    threads: 'auto', // of each rank: cores of the machine ÷ its ranks
    max_ranks: 'auto', // seats of the job: twice the ranks that it begins with
    spare_ranks: 0,
    slow_factor: 1.5, // times the median rank's time for the same work
    on_slow: 'warn',
    head_grace_ms: 0, // ranks end with their head
  },
  elastic: {
    enabled: false,
    min_ranks: 1,
    max_ranks: 'auto', // parallel.max_ranks
    metric: 'waiting', // requests that wait
    up: 8,
    down: 0,
    interval_steps: 64,
    cool_down: 256, // steps
  },
  experts: {
    placement: 'linear',
    num_redundant_experts: 0,
    replica_choice: 'balanced',
    gate: OWN_GATE, // the model's own
    skip_threshold: 0, // all choices are computed
    defer: 0, // and added behind their own layer
    routing: 'gate', // anything else is an experiment
    routing_seed: 0,
    resident: 'auto', // as the checkpoint stores them
    slices: 'auto', // whole experts; on more ranks than experts as few as give each rank one
    max_resident_bytes: null, // all of them
    tier_policy: 'frequency', // which goes where not all fit
    warm: { bytes: null, dtype: 'int8' }, // no copies of those that aren't in memory
  },
  dense: { resident: 'auto' }, // all weights but the routed experts'
  resident_overrides: {}, // by names of tensors
  load_balance: {
    enabled: false,
    planner: 'eplb_stable',
    window_size: 256, // steps
    decay: 1,
    step_interval: 64, // steps between two plans
    min_gain: 0.05, // balancedness that a plan must gain
    cool_down: 64, // steps in which nothing is planned after experts moved, or could not be moved
    layer_updates_per_step: 1, // MoE layers that switch over together
    bytes_per_step: 1024 * 1024, // that a rank sends, and receives, beside one step
  },
  comm: {
    wire: { dispatch: 'f32', combine: 'f32' },
    reduce: 'rank',
    timeout_ms: 10_000, // how long a rank waits for a peer before it says so
    micro_batches: 1,
    transport: 'ws', // threads: all ranks are threads of one process
    io_thread: false, // sockets in a thread of their own
    num_nodes: 1,
    tls: { cert: null, key: null, ca: null }, // no TLS
    on_peer_loss: 'auto', // recover where a rank can be lost alone, else fail
  },
  engine: {
    max_num_seqs: 64,
    max_num_batched_tokens: 512, // tokens of one step
    block_size: 16, // tokens in a KV block
    num_kv_blocks: 'auto', // what max_num_seqs sequences of max_model_len need, within a bound of the engine
    kv_dtype: 'f32', // what keys and values are kept as
    max_model_len: 'auto', // the model's max_position_embeddings
    scheduling: 'fcfs', // first come, first served
    max_num_waiting: 256, // requests beyond those that could run at once
    prefix_cache: 'auto', // exact where the rest is bitwise, else any
    kv_pin_max_ms: 600_000, // ten minutes, whatever a request says
    kv_pin_share: 0.5, // of the blocks, for requests that want theirs to stay
    kept_states: 'auto', // of layers without keys and values: two for each of max_num_seqs, within a bound of the engine
    state_interval: 512, // tokens of a prompt from one of them to the next
    kv_tiers: [], // blocks that the cache has no room for are forgotten
    kv_pool: 'auto', // what one rank or instance computed comes to others, where cluster.enabled
    kv_bring: 'auto', // by what was measured
    mla: 'auto',
    seed: 0,
  },
  cluster: CLUSTER_DEFAULTS,
  router: ROUTER_DEFAULTS,
  instances: [], // a router asks the bus
  generate: {
    prompts: [],
    max_new_tokens: 64,
    temperature: 0, // greedy
    top_k: 0, // off
    top_p: 1, // off
    min_p: 0, // off
    repetition_penalty: 1, // off
    presence_penalty: 0, // off
    frequency_penalty: 0, // off
    min_tokens: 0,
    seed: null, // drawn and reported
    stop: [],
    ignore_eos: false,
    chat: false,
    system: null, // none
    chat_template: null, // tool_use where tools are given and there is one, else default
    chat_template_kwargs: {}, // what the template itself says
  },
  server: {
    host: '127.0.0.1',
    port: 8000,
    served_model_name: null, // the name of the model's folder
    tls: { cert: null, key: null }, // plain HTTP
    allowed_hosts: [],
    cors_origins: [], // pages of other origins may not call
    max_connections: 1024,
    max_url_bytes: 2048,
    max_header_bytes: 16_384, // with the URL
    max_body_bytes: 4 * 1024 * 1024,
    max_choices: 256, // prompts times n
    max_unread_bytes: 65_536, // of an answer, before its client reads on
    request_timeout_ms: 60_000, // for a request to arrive
    keep_alive_timeout_ms: 75_000, // between two requests of a connection
    slow_reader_timeout_ms: 30_000,
    drain_timeout_ms: 60_000,
    log_level: 'info', // a line per request
    metrics: 'lean', // no series per expert, which there may be thousands of
    journal: null, // requests end with their head
    record_dir: null, // recordings go to who asked for them
    batches: {
      folder: null, // a temporary one, which goes with the server
      max_file_bytes: 200 * 1024 * 1024, // OpenAI's, and so are the lines
      max_bytes: 4 * 1024 ** 3, // of all files together
      max_lines: 50_000,
      max_batches: 100, // that aren't over
      concurrency: 32, // lines of all batches at a time
    },
  },
};

/** What a key takes, by its path, or by the path of something inside its value; undefined for a section. */
export const keyInfoOf = (path: readonly PropertyKey[]): KeyInfo | undefined => infoAt(configSchema, path);

/** Keys of the mapping at a path; empty where none is. */
export const keysAt = (path: readonly PropertyKey[]): readonly string[] => keysIn(configSchema, path);
