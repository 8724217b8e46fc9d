/** An engine behind a program that answers orders. */
import type { CommandLine } from './cores.js';
import type { EngineRun, PeerEngine } from './engine.js';
import { LineProcess } from './line_process.js';

/** Starts it and waits until it has loaded its model. @throws BenchError with its last words */
export async function startEngine(name: string, line: CommandLine, signal: AbortSignal): Promise<PeerEngine> {
  const { process, facts } = await LineProcess.start(name, line, signal);
  const { version, built_with: build } = facts as { readonly version: string; readonly built_with: string };
  const ask = async <T>(order: object): Promise<T> => (await process.ask(order)) as T;
  return {
    name,
    version: `${version} (${build})`,
    prefill: (ids) => ask<EngineRun>({ op: 'prefill', ids }),
    decode: (prompts, tokens) => ask<EngineRun>({ op: 'decode', prompts, tokens }),
    logits: async (ids) => (await ask<{ logits: number[] }>({ op: 'logits', ids })).logits,
    close: () => process.close(),
  };
}
