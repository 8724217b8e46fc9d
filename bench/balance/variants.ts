/** What the benchmark compares, and engines that run it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { placementToJson } from '../../experts/placement/placement_json.js';
import type { Placement } from '../../experts/placement/placement.js';
import type { ReplicaChoice } from '../../experts/placement/replica_choice.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import { RankLoads } from './run.js';

export const PLANNED = ['eplb', 'eplb_stable'] as const;

/** A placement and a way to choose replicas in it. `off`: the linear placement, without redundant experts. */
export interface Variant {
  readonly name: 'off' | (typeof PLANNED)[number];
  readonly choice: ReplicaChoice;
  readonly placement: Placement;
}

/** What all engines are started with: model folder, number of ranks, and configuration keys as for --set. */
export interface EngineSetup {
  readonly model: string;
  readonly ranks: number;
  readonly set: readonly string[];
}

/** An engine and the observer that counts what its ranks are loaded with. */
export interface RunningVariant {
  readonly engine: Engine;
  readonly loads: RankLoads;
}

/** An engine per variant, started when it is first needed. They wait for each other's turns: one that waits takes memory and no time. */
export class VariantEngines {
  private readonly running = new Map<Variant, RunningVariant>();

  private constructor(
    private readonly setup: EngineSetup,
    private readonly folder: string,
    private readonly signal: AbortSignal,
  ) {}

  /** No engine yet; makes a temporary folder for the placements, which `close` removes. */
  static async create(setup: EngineSetup, signal: AbortSignal): Promise<VariantEngines> {
    return new VariantEngines(setup, await mkdtemp(join(tmpdir(), 'expertwire-balance-')), signal);
  }

  /** The engine of a variant; `warmUp` runs where it had to be started. */
  async get(variant: Variant, warmUp: (running: RunningVariant) => Promise<void>): Promise<RunningVariant> {
    const running = this.running.get(variant);
    if (running !== undefined) return running;
    const file = join(this.folder, `${this.running.size}.json`);
    await writeFile(file, JSON.stringify(placementToJson(variant.placement)));
    const more = [`experts.placement=${file}`, `experts.replica_choice=${variant.choice}`];
    const started = await startEngine(this.setup, more, this.signal);
    this.running.set(variant, started);
    await warmUp(started);
    return started;
  }

  /** Ends the engines; those that are needed again are started again. */
  async stop(): Promise<void> {
    const engines = [...this.running.values()];
    this.running.clear();
    await Promise.all(engines.map(({ engine }) => engine.close()));
  }

  /** Ends the engines and removes the temporary folder. */
  async close(): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** @param more keys beside those of the setup: 'experts.replica_choice=balanced' */
export async function startEngine(
  { model, ranks, set }: EngineSetup,
  more: readonly string[],
  signal: AbortSignal,
): Promise<RunningVariant> {
  // The same prompts come again and again, and are to be computed each time.
  const overrides = ['engine.prefix_cache=off', ...set, ...more];
  const config = await loadConfig({ flags: { model, parallel: { ranks } }, overrides });
  const loads = new RankLoads();
  return { engine: await Engine.start({ config, observer: loads, signal }), loads };
}
