/** Jobs in one process, each of a seed, under load and faults; and what their requests would have had of one rank that nothing befalls. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { GenerationRequest, TokenEvent } from '../../../lib/protocol/request.js';
import { randomFrom } from '../../refs/random.js';
import type { Latency } from '../comm/memory_link.js';
import { readConformance, writeConformanceModel } from '../model/conformance.js';
import { tinyModel } from '../paths.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from './local_engine.js';
import { replicated } from './placements.js';
import { seededFaults, type SeededChange, type SeededFaults } from './seeded_faults.js';
import { seededSettings, type SeededSettings } from './seeded_settings.js';

/** What a request told, or what a text scored. */
export type Told = Readonly<Record<string, unknown>>;

export interface SeededOutcome {
  /** Of all of it, to be told where something is wrong. */
  readonly drawn: SeededFaults & SeededSettings;
  /** By request. */
  readonly expected: readonly Told[];
  /** By wave of the same requests. */
  readonly waves: readonly (readonly Told[])[];
  readonly numLost: number;
  readonly numEpochs: number;
}

export const NUM_SEATS = 7;
const NUM_WAVES = 2;
const NUM_REQUESTS = 8;

export class SeededJobs {
  private readonly models = new Map<string, Promise<string>>();
  private readonly undisturbed = new Map<string, Promise<readonly Told[]>>();

  /** @param dir for models that are written */
  constructor(private readonly dir: string) {}

  async run(seed: number): Promise<SeededOutcome> {
    const faults = seededFaults(seed);
    const { numRanks, numReplicas, microBatches, latencyMs } = faults;
    // Each fault may take one.
    const settings = seededSettings(seed, { minRanks: faults.faults.length + 1, numSeats: NUM_SEATS });
    const { mla, bits, free, numSpares } = settings;
    const drawn = { ...faults, ...settings };
    const model = await this.folderOf(settings.model);
    const expected = await this.expectedOf(model, settings);
    const outcome = await withEngine(
      model,
      {
        ...{ numRanks, microBatches, mla, numSpares, faults: faults.faults, placement: replicated(numReplicas) },
        ...(latencyMs > 0 && { latency: latencyOf(seed, latencyMs) }),
        ...{
          onPeerLoss: 'recover',
          numSeats: NUM_SEATS,
          joinTimeoutMs: 1000,
          timeoutMs: 1500,
          set: [...bits, ...free],
        },
      },
      async (local) => {
        follow(local, drawn);
        const waves: Told[][] = [];
        for (let i = 0; i < NUM_WAVES; i++) waves.push(await wave(local, seed + i));
        return {
          waves,
          numLost: local.losses.flatMap(({ lost }) => lost).length,
          numEpochs: local.job.members.epoch,
        };
      },
    );
    return { drawn, expected, ...outcome };
  }

  private folderOf(model: string): Promise<string> {
    if (model.startsWith('tiny-')) return Promise.resolve(tinyModel(model));
    const written = this.models.get(model) ?? this.write(model);
    this.models.set(model, written);
    return written;
  }

  private async write(family: string): Promise<string> {
    const folder = join(this.dir, family);
    await mkdir(folder);
    await writeConformanceModel(folder, readConformance(family).cases[0]!, new Map());
    return folder;
  }

  private expectedOf(model: string, { mla, bits }: SeededSettings): Promise<readonly Told[]> {
    const key = JSON.stringify([model, mla, bits]);
    const expected =
      this.undisturbed.get(key) ?? withEngine(model, { mla, numRanks: 1, set: bits }, (local) => wave(local, null));
    this.undisturbed.set(key, expected);
    return expected;
  }
}

async function withEngine<T>(
  model: string,
  options: LocalEngineOptions,
  use: (local: LocalEngine) => Promise<T>,
): Promise<T> {
  const local = await startLocalEngine(model, options);
  try {
    return await use(local);
  } finally {
    await local.close();
  }
}

/** Most of what is sent is there at once, and some takes its time. */
function latencyOf(seed: number, most: number): Latency {
  const random = randomFrom(seed);
  return () => Math.floor(Math.max(0, random() - 0.7) * (most / 0.3));
}

/** Does what is due behind each step. */
function follow(local: LocalEngine, { changes: all, faults }: SeededFaults): void {
  const changes = [...all];
  local.engine.watch({
    step: ({ step }) => {
      for (const due of changes.filter((each) => each.step <= step)) {
        changes.splice(changes.indexOf(due), 1);
        change(local, due, faults.length);
      }
    },
  });
}

/** `numFaults`: ranks that may be lost besides, of which one is to be left. */
function change(local: LocalEngine, { what, draw }: SeededChange, numFaults: number): void {
  const { present, leaving } = local.job.members;
  const staying = [...present].filter((rank) => !leaving.has(rank));
  const isEnough = staying.length > numFaults + 1;
  if (what === 'scale') {
    const wanted = numFaults + 1 + Math.floor(draw * (NUM_SEATS - numFaults));
    void local.engine.scale(wanted).catch(refused);
  } else if (what === 'leave' || what === 'kill') {
    const rank = staying[Math.floor(draw * staying.length)]!;
    if (isEnough && what === 'leave') local.leave(rank);
    if (isEnough && what === 'kill') local.fail(rank);
  } else local.join(what === 'join' ? undefined : what);
}

/** Another order is being carried out, or nobody could come. */
function refused(error: unknown): void {
  if (!(error instanceof EngineError)) throw error;
}

/** All requests at once, a text that is scored, and, where there is a seed, clients that go away. */
async function wave({ engine }: LocalEngine, seed: number | null): Promise<Told[]> {
  const random = randomFrom(1);
  const vocabSize = engine.spec.vocabSize;
  const tokens = (count: number): number[] =>
    Array.from({ length: count }, () => 1 + Math.floor(random() * (vocabSize - 1)));
  const shared = tokens(17);
  const prompts = Array.from({ length: NUM_REQUESTS }, (_, i) => [
    ...(i % 3 === 0 ? shared : []),
    ...tokens(1 + ((7 * i) % 23)),
  ]);
  const requests = prompts.map((promptTokenIds, i): GenerationRequest => ({
    ...{ promptTokenIds, maxNewTokens: 5 + ((5 * i) % 11), ignoreEos: true, logprobs: 2 },
    ...(i % 4 === 1 && { returnRoutedExperts: true }),
    ...(i % 4 === 3 && { promptLogprobs: 1 }),
    ...(i % 2 === 1 && {
      sampling: { temperature: 1.5, repetitionPenalty: 1.3, frequencyPenalty: 0.3, seed: 11, choice: i },
    }),
    priority: i % 2,
  }));
  const left = seed === null ? [] : [leave(engine, requests, randomFrom(seed))];
  const scored = engine.score({ tokenIds: [...shared, ...prompts[1]!] });
  const [told] = await Promise.all([
    Promise.all([
      ...requests.map((request) => answer(engine, request)),
      scored.then(({ logprobs, routedExperts, numDegradedTokens }) => ({ logprobs, routedExperts, numDegradedTokens })),
    ]),
    ...left,
  ]);
  return told;
}

async function answer(engine: LocalEngine['engine'], request: GenerationRequest): Promise<Told> {
  const events: TokenEvent[] = [];
  for await (const event of engine.generate(request)) events.push(event);
  const last = events.at(-1);
  if (last?.kind !== 'finished') throw new Error('no finished event');
  return {
    logprobs: events.map((event) => (event.kind === 'token' || event.kind === 'prompt' ? event.logprobs : null)),
    tokenIds: events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : [])),
    routedExperts: last.routedExperts,
    numDegradedTokens: last.numDegradedTokens,
  };
}

/** Reads some tokens of a request, and goes. */
async function leave(
  engine: LocalEngine['engine'],
  requests: readonly GenerationRequest[],
  random: () => number,
): Promise<void> {
  const request = requests[Math.floor(random() * requests.length)]!;
  let numLeft = Math.floor(random() * request.maxNewTokens);
  for await (const event of engine.generate(request)) if (event.kind === 'token' && numLeft-- === 0) break;
}
