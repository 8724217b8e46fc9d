/** The section `generation`: every dtype on every number of cores. */
import { isCoded } from '../../compute/base/weight_matrix.js';
import { modelSpecOf } from '../../lib/model/families/registry.js';
import { openWeights } from '../../lib/model/stored/model_weights.js';
import { readModelFiles } from '../../lib/weights/model_files.js';
import type { EngineSetting, PeerEngine } from './engines/engine.js';
import { startLlamaTools } from './engines/llama_tools.js';
import {
  startLlamaPython,
  startOurs,
  startStream,
  startTransformers,
  type Places,
  type Start,
} from './engines/start.js';
import {
  measureGeneration,
  withAll,
  type Agreement,
  type GenerationPlan,
  type GenerationRow,
  type Phase,
} from './measure_generation.js';
import type { FoundPeers } from './found_peers.js';
import type { PeersOptions } from './options.js';
import type { Spread } from './ratios.js';
import { touchedBytes } from './touched_bytes.js';
import { ggufFiles, modelIn, writeGguf } from './work_folder.js';

/** What the section found. */
export interface GenerationFigures {
  readonly model: string;
  readonly rows: readonly GenerationRow[];
  readonly agreements: readonly Agreement[];
  /** By number of cores, over all dtypes. */
  readonly read_gb_per_s: Readonly<Record<number, readonly Spread[]>>;
  /** By name, ours first. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Measures what the options ask for; `onRows` hears of each part as it ends. */
export async function benchGeneration(
  options: PeersOptions,
  found: FoundPeers,
  pin: Places['pin'],
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<GenerationFigures> {
  const model = options.model ?? (await modelIn(options.dir, signal));
  const { config } = await readModelFiles(model);
  const spec = modelSpecOf(config);
  const { llamaBench } = found;
  const places: Places = {
    ...{ model, gguf: ggufFiles(options.dir, model), python: found.python, llamaBench },
    ...{ node: options.node, ranks: options.ranks, set: options.set, pin },
  };
  const plan: GenerationPlan = {
    phases: phasesOf(options),
    ...{ context: options.context, rounds: options.rounds, seed: options.seed, vocabSize: spec.vocabSize },
  };
  const maxTokens = maxTokensOf(options);
  const figures = { rows: [] as GenerationRow[], agreements: [] as Agreement[] };
  const reads: Record<number, Spread[]> = {};
  const versions: Record<string, string> = {};
  const weights = await openWeights(model, spec);
  try {
    for (const dtype of options.dtypes) {
      if (found.names.has('llama.cpp')) await writeGguf(places.python, model, places.gguf[dtype], dtype, signal);
      for (const cores of options.cores) {
        onProgress(`generation: ${dtype} on ${cores} ${cores === 1 ? 'core' : 'cores'}`);
        const setting: EngineSetting = { dtype, cores, maxSeqs: Math.max(...options.batches), maxTokens };
        const starts = startsOf(found, setting).map((start) => () => start(places, setting, signal));
        const measured = await withAll([() => startStream(places, cores, signal)], ([stream]) =>
          withAll<PeerEngine, Awaited<ReturnType<typeof measureGeneration>>>(starts, (engines) => {
            for (const { name, version } of engines) versions[name] = version;
            const weightBytes = touchedBytes(spec, weights, dtype);
            return measureGeneration(engines, stream!, { dtype, cores, weightBytes }, plan, signal);
          }),
        );
        figures.rows.push(...measured.rows);
        if (cores === options.cores[0]) figures.agreements.push(...measured.agreements);
        (reads[cores] ??= []).push(measured.read_gb_per_s);
      }
    }
  } finally {
    await weights.close();
  }
  return { model, ...figures, read_gb_per_s: reads, versions };
}

function startsOf(found: FoundPeers, { dtype }: EngineSetting): Start[] {
  const starts: Start[] = [startOurs];
  if (found.names.has('llama.cpp')) starts.push(found.llamaBench === null ? startLlamaPython : startLlamaTools);
  if (found.names.has('transformers') && !isCoded(dtype)) starts.push(startTransformers);
  return starts;
}

const phasesOf = ({ promptTokens, batches, steps }: PeersOptions): Phase[] => [
  { kind: 'prefill', tokens: promptTokens },
  ...batches.map(
    (batch) => ({ kind: 'decode', batch, steps: batch === 1 ? steps : Math.max(2, Math.ceil(steps / 8)) }) as const,
  ),
];

/** Ours makes some tokens more than it is timed for. */
const SPARE_TOKENS = 48;
const maxTokensOf = ({ promptTokens, context, steps }: PeersOptions): number =>
  16 * Math.ceil((Math.max(promptTokens, context + steps) + SPARE_TOKENS) / 16);
