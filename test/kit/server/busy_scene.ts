/** Five minutes of a busy server, staged: for pictures of the live page, and to look at it. All numbers come from a seed. */
import { uniform } from '../../../base/philox.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { loadTokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { finishedEvent, type Play } from './played_engine.js';
import { StagedEngine, type StagedRequests, type StagedShape } from './staged_engine.js';

/** What time it is, for everybody in this process; a scene is staged before its picture is taken. */
export class StagedClock {
  private readonly real = performance.now.bind(performance);
  private skewMs = 0;

  constructor() {
    performance.now = () => this.real() + this.skewMs;
  }

  /** How far this clock is behind the system's. */
  get behindMs(): number {
    return -this.skewMs;
  }

  advance(ms: number): void {
    this.skewMs += ms;
  }

  /** Time is what it was. Idempotent. */
  close(): void {
    performance.now = this.real;
  }
}

/** Numbers 0 … 1 in order. */
function randomOf(seed: number): () => number {
  let n = 0;
  return () => uniform(seed, 0, n++);
}

/** Popularity of experts, which changes slowly, as texts do: [L][E]. */
function popularity({ numLayers, numExperts }: StagedShape, random: () => number): number[][] {
  return Array.from({ length: numLayers }, () => Array.from({ length: numExperts }, () => random() ** 6 + 0.08));
}

/** Requests come and go; `step` runs the next step. */
export class BusyScene {
  private readonly random: () => number;
  private readonly weights_LE: number[][];
  private readonly running: { sequence: number; rank: number; left: number; prompt: number }[] = [];
  private nextSequence = 0;

  constructor(
    readonly engine: StagedEngine,
    private readonly shape: StagedShape,
    seed = 1,
  ) {
    this.random = randomOf(seed);
    this.weights_LE = popularity(shape, this.random);
  }

  /** `arrivals`: requests per step, on average. */
  step(clock: StagedClock | null, arrivals = 0.22): void {
    const { random, running, engine } = this;
    const { numRanks } = this.shape;
    const zero = (): number[] => Array<number>(numRanks).fill(0);
    const [prefill_R, decode_R, admitted_R] = [zero(), zero(), zero()];
    if (random() < arrivals) {
      const sequence = this.nextSequence++;
      const numPromptTokens = 24 + Math.floor(180 * random() ** 2);
      const rank = sequence % numRanks;
      engine.tell({ kind: 'queued', sequence, id: null, numPromptTokens, maxNewTokens: 128 });
      clock?.advance(2 + 30 * random() ** 4);
      engine.tell({ kind: 'admitted', sequence, rank, numCachedTokens: 0 });
      admitted_R[rank]!++;
      running.push({ sequence, rank, left: 20 + Math.floor(120 * random()), prompt: numPromptTokens });
    }
    if (running.length === 0) {
      clock?.advance(15);
      return;
    }
    for (const each of running) {
      if (each.prompt > 0) {
        const chunk = Math.min(each.prompt, 128);
        prefill_R[each.rank]! += chunk;
        each.prompt -= chunk;
      } else decode_R[each.rank]!++;
    }
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    const stepMs = 9 + 0.35 * sum(decode_R) + 0.12 * Math.max(...prefill_R) + 4 * random() ** 3;
    clock?.advance(stepMs);
    const numTokens = sum(prefill_R) + sum(decode_R);
    engine.step({ stepMs, prefill_R, decode_R, admitted_R, load_LE: this.loadOf(numTokens), bytes: 700 * numTokens });
    for (const each of [...running]) {
      if (each.prompt > 0) continue;
      engine.tell({ kind: 'token', sequence: each.sequence, tokenId: 1 });
      if (--each.left > 0) continue;
      engine.tell({ kind: 'finished', sequence: each.sequence, reason: 'length' });
      running.splice(running.indexOf(each), 1);
    }
    this.showLoad();
  }

  private showLoad(): void {
    const { engine, running } = this;
    const of = (rank: number) => running.filter((each) => each.rank === rank);
    engine.load = engine.loadOf(running.length > 10 ? 2 : 0, (rank) => ({
      numRunning: of(rank).length,
      numUsedBlocks: 60 + 70 * of(rank).length,
    }));
  }

  private loadOf(numTokens: number): number[][] {
    return this.weights_LE.map((weights_E) => {
      const e = Math.floor(this.random() * weights_E.length);
      weights_E[e] = 0.9 * weights_E[e]! + 0.1 * (this.random() ** 6 + 0.08);
      const total = weights_E.reduce((a, b) => a + b, 0);
      return weights_E.map((weight) => Math.round((numTokens * 6 * weight) / total));
    });
  }
}

/** So that tokens come one by one. */
const TOKEN_MS = 15;

const STORY =
  'Once upon a time, in a small town by the river, there was a clockmaker who could hear which wheel was tired.\nShe never said so.';

/** Requests that continue with one story, of whose tokens each has experts that depend on it alone. */
export async function stagedRequests({ numLayers, numExperts }: StagedShape): Promise<StagedRequests> {
  const tokenizer = (await loadTokenizer(DEMO_MODEL))!;
  const story = tokenizer.encode(STORY);
  const expertsOf = (tokenId: number): number[][] =>
    Array.from({ length: numLayers }, (_, layer) =>
      Array.from({ length: 6 }, (_, k) => Math.floor(numExperts * uniform(tokenId, layer, k) ** 2)),
    );
  const play: Play = async function* ({ promptTokenIds, maxNewTokens }) {
    let fed = Array.from(promptTokenIds, expertsOf);
    const logprobs = { logprob: -1, rank: 1, top: [] };
    for (const tokenId of story.slice(promptTokenIds.length, promptTokenIds.length + maxNewTokens)) {
      yield { kind: 'token', tokenId, text: tokenizer.decode([tokenId]), logprobs, routedExperts: fed };
      fed = [expertsOf(tokenId)];
      await new Promise((resolve) => setTimeout(resolve, TOKEN_MS));
    }
    yield finishedEvent();
  };
  return { play, tokenizer };
}
