/** The section `start`: the command line from its first to its last moment, beside a bare Node; loading a model, beside llama.cpp. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DEMO_MODEL, peerScript } from '../../lib/config/package_files.js';
import { LineProcess } from './engines/line_process.js';
import type { FoundPeers } from './found_peers.js';
import { withAll } from './measure_generation.js';
import type { PeersOptions } from './options.js';
import { pairedRatio, spreadOf, type Ratio, type Spread } from './ratios.js';
import { ggufFiles, modelIn, writeGguf } from './work_folder.js';

/** What was timed. */
export interface StartRow {
  readonly what: string;
  readonly ms: Spread;
  /** Its time over that of `beside`. Null: it is what others are beside. */
  readonly ratio: (Ratio & { readonly beside: string }) | null;
}

/** Something that is done once per round. */
interface Runner {
  /** Milliseconds by what was timed. */
  run(): Promise<Readonly<Record<string, number>>>;
  close(): Promise<void>;
}

const CLI = fileURLToPath(new URL('../../lib/cli.js', import.meta.url));
const OURS = { loaded: 'load, ours', ready: 'load and first step, ours' };
const NODE = 'node -e 0';
const GENERATE = 'generate, one token, moe-7m';

/** Ratios are of these: the first over the second. */
const BESIDE: readonly (readonly [string, string])[] = [
  [GENERATE, NODE],
  ...(['read', 'mapped'] as const).flatMap((way) => [
    [`load, llama.cpp, ${way}`, OURS.loaded] as const,
    [`load and first step, llama.cpp, ${way}`, OURS.ready] as const,
  ]),
];

/** @throws BenchError */
export async function benchStart(
  options: PeersOptions,
  found: FoundPeers,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<StartRow[]> {
  const model = options.model ?? (await modelIn(options.dir, signal));
  const { node } = options;
  const starts = [
    () => Promise.resolve(whole(NODE, node, ['-e', '0'], signal)),
    () => Promise.resolve(whole(GENERATE, node, [CLI, ...ONE_TOKEN], signal)),
    () => ourLoading(node, model, signal),
  ];
  if (found.names.has('llama.cpp')) {
    const gguf = ggufFiles(options.dir, model).bf16;
    await writeGguf(found.python, model, gguf, 'bf16', signal);
    starts.push(() => theirLoading(found.python, gguf, signal));
  }
  return withAll<Runner, StartRow[]>(starts, async (runners) => {
    const times = new Map<string, number[]>();
    for (let round = 0; round <= options.rounds; round++) {
      onProgress(`start: round ${round} of ${options.rounds}`);
      for (const runner of round % 2 === 0 ? runners : runners.toReversed()) {
        signal.throwIfAborted();
        const told = Object.entries(await runner.run());
        if (round === 0) continue; // files come into the page cache
        for (const [what, ms] of told) times.set(what, [...(times.get(what) ?? []), ms]);
      }
    }
    return rowsOf(times);
  });
}

const ONE_TOKEN = ['generate', '--model', DEMO_MODEL, '--prompt', 'Call me', '--max-new-tokens', '1'];

function rowsOf(times: ReadonlyMap<string, readonly number[]>): StartRow[] {
  return Array.from(times, ([what, ms]) => {
    const beside = BESIDE.find(([first]) => first === what)?.[1];
    const ratio = beside === undefined ? null : { ...pairedRatio(ms, times.get(beside)!), beside };
    return { what, ms: spreadOf(ms), ratio };
  });
}

/** A process from its start to its end. */
function whole(what: string, command: string, args: readonly string[], signal: AbortSignal): Runner {
  return {
    async run() {
      const startMs = performance.now();
      await promisify(execFile)(command, [...args], { signal });
      return { [what]: performance.now() - startMs };
    },
    close: () => Promise.resolve(),
  };
}

interface Loaded {
  readonly loaded_ms: number;
  readonly ready_ms: number;
}

async function ourLoading(node: string, model: string, signal: AbortSignal): Promise<Runner> {
  const file = fileURLToPath(new URL('load_process.js', import.meta.url));
  const { process } = await LineProcess.start('expertwire', { command: node, args: [file, model] }, signal);
  return {
    async run() {
      const { loaded_ms, ready_ms } = (await process.ask({ op: 'load' })) as Loaded;
      return { [OURS.loaded]: loaded_ms, [OURS.ready]: ready_ms };
    },
    close: () => process.close(),
  };
}

async function theirLoading(python: string, gguf: string, signal: AbortSignal): Promise<Runner> {
  const line = { command: python, args: [peerScript('llama_cpp_load.py'), gguf] };
  const { process } = await LineProcess.start('llama.cpp', line, signal);
  return {
    async run() {
      const times: Record<string, number> = {};
      for (const way of ['read', 'mapped']) {
        const told = (await process.ask({ op: 'load', is_mapped: way === 'mapped' })) as Loaded;
        times[`load, llama.cpp, ${way}`] = told.loaded_ms;
        times[`load and first step, llama.cpp, ${way}`] = told.ready_ms;
      }
      return times;
    },
    close: () => process.close(),
  };
}
