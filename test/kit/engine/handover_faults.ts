/** A request that goes on in another instance, and one rank that fails at a moment of it. */
import { expect } from 'chai';
import type { TokenEvent } from '../../../lib/protocol/request.js';
import type { Fault, Moment } from './local_rank.js';
import { startLocalEngine, type LocalEngine } from './local_engine.js';
import { PROMPT } from './masking.js';
import { replicated } from './placements.js';
import { OfferedSource, type OfferedSourceOptions } from './offered_source.js';
import { TwoEngines, type Asked } from './two_engines.js';
import { tinyModel } from '../paths.js';

/** The whole request. */
export const ASKED: Asked = { promptTokenIds: PROMPT, maxNewTokens: 40, ignoreEos: true };

/** Live, while it generates; or behind its prompt, which is streamed. */
export type Way = 'live' | 'streamed';

/** What happens on which side. */
export interface HandoverFault {
  readonly side: 'source' | 'target';
  readonly at: Moment;
  /** Default 'killed'. */
  readonly how?: Fault['how'];
}

/** Scenes of a handover. */
export interface Scene {
  readonly model: string;
  readonly way: Way;
  /** Ranks of the source and of the target. Default 2 each. */
  readonly numRanks?: readonly [number, number];
  readonly fault?: HandoverFault;
  readonly source?: OfferedSourceOptions;
  /** How long a rank waits for others. Default 3000. */
  readonly timeoutMs?: number;
}

/** What came of it. */
export interface Outcome {
  /** Whether the moment came. */
  readonly hasFailed: boolean;
  /** Of the source's events, and of the target's. */
  readonly ends: readonly [string, string];
  readonly source: OfferedSource;
  readonly arrivals: ReturnType<LocalEngine['engine']['stats']>['arrivals'];
}

const SMALL = {
  set: ['engine.block_size=4', 'engine.max_num_batched_tokens=8', 'engine.max_num_seqs=4', 'engine.prefix_cache=off'],
};

/** One side's events, and how they ended. */
interface Told {
  readonly events: readonly TokenEvent[];
  readonly tokenIds: readonly number[];
  readonly end: string;
}

/** What one instance makes of it. */
export async function aloneOf(model: string): Promise<number[]> {
  const local = await startLocalEngine(tinyModel(model), { numRanks: 1, ...SMALL });
  try {
    return [...(await told(local.engine.generate(ASKED))).tokenIds];
  } finally {
    await local.close();
  }
}

/** Plays a scene, and checks that whoever answers the request says what one instance alone would; nobody holds anything behind it. */
export async function playScene(
  { model, way, numRanks: [from, to] = [2, 2], fault, source: how = {}, timeoutMs = 3000 }: Scene,
  expected: readonly number[],
): Promise<Outcome> {
  const faultsOf = (side: HandoverFault['side']): { faults: Fault[] } => ({
    faults: fault?.side === side ? [{ rank: 0, at: fault.at, ...(fault.how && { how: fault.how }) }] : [],
  });
  const cluster = [
    'cluster.last_stage_blocks=1',
    'cluster.max_stages=4',
    'cluster.lease_timeout_ms=1000',
    `cluster.kv_stream=${way === 'live' ? 'off' : 'on'}`,
  ];
  const rest = { placement: replicated(2), timeoutMs, set: [...SMALL.set, ...cluster] };
  const sides = [
    { numRanks: from, ...faultsOf('source'), ...rest },
    { numRanks: to, ...faultsOf('target'), ...rest },
  ] as const;
  const two = await TwoEngines.start(tinyModel(model), sides[0], sides[1]);
  try {
    const source = new OfferedSource(two.from.engine, 'it', how);
    const handover = way === 'streamed' ? { handover: 'after_prompt' as const } : {};
    const comings: Promise<Told>[] = [];
    const onToken = (count: number): void => {
      if (comings.length > 0 || count < (way === 'live' ? 5 : 0)) return;
      comings.push(told(two.to.engine.generate({ ...ASKED, source })));
    };
    const here = await told(two.from.engine.generate({ ...ASKED, id: 'it', movable: true, ...handover }), onToken);
    const there = await comings[0]!;
    check(expected, here, there);
    two.checkEmpty();
    const hasFailed =
      two.from.losses.length + two.to.losses.length > 0 || here.end === 'error' || there.end === 'error';
    return { hasFailed, ends: [here.end, there.end], source, arrivals: two.to.engine.stats().arrivals };
  } finally {
    await Promise.all([two.from.close(), two.to.close()]);
  }
}

function check(expected: readonly number[], here: Told, there: Told): void {
  expect(here.tokenIds, 'what the source says').to.deep.equal(expected.slice(0, here.tokenIds.length));
  const resumed = there.events.find(({ kind }) => kind === 'resumed');
  const first = resumed?.kind === 'resumed' ? resumed.numTokens : 0;
  expect(there.tokenIds, 'what the target says').to.deep.equal(expected.slice(first, first + there.tokenIds.length));
  if (here.end === 'finished') expect(here.tokenIds).to.deep.equal(expected);
  if (there.end === 'finished') expect(there.tokenIds).to.deep.equal(expected.slice(first));
  expect([here.end, there.end], 'somebody answers to the end').to.include('finished');
  if (here.end === 'moved') expect([there.end, first]).to.deep.equal(['finished', here.tokenIds.length]);
}

async function told(
  events: AsyncGenerator<TokenEvent>,
  onToken: (count: number) => void = () => undefined,
): Promise<Told> {
  const all: TokenEvent[] = [];
  const tokenIds: number[] = [];
  let end = 'error';
  try {
    for (;;) {
      const next = events.next(); // it is queued now
      onToken(tokenIds.length);
      const event = await next;
      if (event.done === true) break;
      all.push(event.value);
      if (event.value.kind === 'token') tokenIds.push(event.value.tokenId);
    }
    end = all.at(-1)!.kind;
  } catch {
    // the engine that has it is gone
  }
  return { events: all, tokenIds, end };
}
