/** llama.cpp by its own llama-bench and llama-batched-bench: one run of the tool per order, since they keep no model for the next. */
import { execFile } from 'node:child_process';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { EngineRun, PeerEngine } from './engine.js';
import type { Start } from './start.js';

/** They choose tokens of their own, and tell none. */
export const startLlamaTools: Start = ({ gguf, llamaBench, pin }, { dtype, cores, maxTokens }, signal) => {
  const tool = async (command: string, args: readonly string[]): Promise<string> => {
    const line = pin.on(cores, command, args);
    return (await promisify(execFile)(line.command, line.args, { signal, maxBuffer: 2 ** 24 })).stdout;
  };
  const file = ['-m', gguf[dtype], '-t', String(cores)];
  const bench = async (...args: readonly string[]): Promise<EngineRun> =>
    msOfBench(await tool(llamaBench!, [...file, '-r', '1', '-o', 'json', ...args]));
  const batched = batchedBeside(llamaBench!);
  const engine: PeerEngine = {
    name: 'llama.cpp',
    version: llamaBench!,
    prefill: (ids) => bench('-p', String(ids.length), '-n', '0'),
    async decode(prompts, steps) {
      const context = prompts[0]!.length;
      if (prompts.length === 1) return bench('-p', '0', '-n', String(steps), '-d', String(context));
      const room = [
        '-c',
        String(prompts.length * maxTokens),
        '-npp',
        String(context),
        '-ntg',
        String(steps),
        '-npl',
        String(prompts.length),
      ];
      return msOfBatched(await tool(batched, [...file, ...room, '--output-format', 'jsonl']));
    },
    logits: () => Promise.resolve(null),
    close: () => Promise.resolve(),
  };
  return Promise.resolve(engine);
};

/** The tool for more than one sequence: in the same folder, or, where that is a command's name, a command too. */
export const batchedBeside = (llamaBench: string): string =>
  basename(llamaBench) === llamaBench ? 'llama-batched-bench' : join(dirname(llamaBench), 'llama-batched-bench');

/** Of what `llama-bench -r 1 -o json` prints. */
export function msOfBench(json: string): EngineRun {
  const [{ avg_ns: ns }] = JSON.parse(json) as [{ readonly avg_ns: number }];
  return { ms: ns / 1e6, tokens: [] };
}

/** Of what `llama-batched-bench --output-format jsonl` prints: a line of JSON among others; `t_tg` is seconds of all steps. */
export function msOfBatched(text: string): EngineRun {
  const line = text.split('\n').find((each) => each.startsWith('{'))!;
  const { t_tg: seconds } = JSON.parse(line) as { readonly t_tg: number };
  return { ms: 1000 * seconds, tokens: [] };
}
