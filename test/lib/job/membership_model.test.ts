/**
 * Every way in which three ranks can be lost, leave and be joined by a fourth, with two faults: the pure parts of membership, in every order of what
 * may happen next. Why: docs/decisions/elastic.md#every-change-is-an-epoch
 */
import { expect } from 'chai';
import { findHomes, homelessIn } from '../../../experts/placement/homes.js';
import { LivePlacement } from '../../../experts/placement/live_placement.js';
import { createPlacement, placementFrom, type Placement } from '../../../experts/placement/placement.js';
import { withSeats } from '../../../experts/placement/seats.js';
import { Losses, type Decision } from '../../../lib/job/losses.js';
import { holdersOf } from '../../../lib/job/members.js';
import { Wishes } from '../../../lib/job/wishes.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { EpochOrder } from '../../../lib/protocol/step_plan.js';

const NUM_RANKS = 3;
const NUM_SEATS = 4;
const NEWCOMER = 3;
/** How much happens at most. */
interface Limits {
  readonly faults: number;
  readonly wishes: number;
}

const FIRST = withSeats(createPlacement('linear', { numLayers: 1, numExperts: 3, numRanks: NUM_RANKS }), {
  numSeats: NUM_SEATS,
  slotsPerRank: 3,
});
const SEATS = [...Array(NUM_SEATS).keys()];
const absentOf = (members: Iterable<number>): number[] => {
  const present = new Set(members);
  return SEATS.filter((seat) => !present.has(seat));
};

/** By the words for them: to join, to go, to give its experts away, to be too slow for any. */
const WISHES = { join: 'joined', go: 'left', give: 'leaving', slow: 'demoted' } as const;

type Order = EpochOrder | { readonly commit: Placement };

interface PlayedRank {
  isAlive: boolean;
  isHeard: boolean;
  epoch: number;
  readonly live: LivePlacement;
  readonly orders: Order[];
}

/** A head, its ranks and what is on its way between them. What happens is named by a word and a seat. */
class World {
  readonly losses = new Losses('recover', NUM_RANKS);
  private readonly wishes = new Wishes();
  private readonly live = new LivePlacement(FIRST, [NEWCOMER]);
  private readonly ranks: PlayedRank[] = SEATS.map((rank) => ({
    ...{ isAlive: true, isHeard: false, epoch: 0, orders: [] },
    live: new LivePlacement(FIRST, rank === NEWCOMER ? [0, 1, 2] : [NEWCOMER]),
  }));
  private readonly epochs = [0];
  /** Ranks whose results a step lacks; null: none runs. */
  private missing: Set<number> | null = null;
  private numFaults = 0;
  private numWishes = 0;
  private hasEnded = false;

  constructor(private readonly limits: Limits) {}

  /** Everything that may happen next. What only one rank takes note of comes first, since it is the same before and after all else. */
  next(): string[] {
    const within = this.within();
    const quiet = this.ranks.findIndex(
      ({ isAlive, orders: [first] }) => isAlive && first !== undefined && 'commit' in first,
    );
    return quiet < 0 || this.hasEnded ? [...within, ...this.around()] : [`obey ${quiet}`];
  }

  /** What the world around may do. */
  private around(): string[] {
    const { present } = this.losses.members;
    const sitting = SEATS.filter((rank) => this.ranks[rank]!.isAlive && (present.has(rank) || rank === NEWCOMER));
    const mayWish = this.numWishes < this.limits.wishes && !this.hasEnded;
    const mayJoin = mayWish && this.ranks[NEWCOMER]!.isAlive && !present.has(NEWCOMER);
    return [
      ...(this.numFaults < this.limits.faults && !this.hasEnded ? sitting.map((rank) => `kill ${rank}`) : []),
      ...(mayJoin ? [`join ${NEWCOMER}`] : []),
      ...(mayWish ? [...present].flatMap((rank) => [`go ${rank}`, `give ${rank}`, `slow ${rank}`]) : []),
    ];
  }

  /** What head and ranks may do. */
  within(): string[] {
    if (this.hasEnded) return [];
    const { losses, missing } = this;
    const { present } = losses.members;
    const of = (word: string, which: (rank: PlayedRank, seat: number) => boolean): string[] =>
      SEATS.filter((seat) => which(this.ranks[seat]!, seat)).map((seat) => `${word} ${seat}`);
    const isSettled = missing === null && !losses.isGathering && losses.entering.size === 0;
    const isChanging = this.wishes.changeOf(losses.members) !== null;
    const isWhole = homelessIn(this.live.left).length === 0;
    return [
      ...of('hear', ({ isAlive, isHeard }, seat) => !isAlive && !isHeard && present.has(seat)),
      ...of('obey', ({ isAlive, orders }) => isAlive && orders.length > 0),
      ...of('answer', ({ isAlive, orders }, seat) => missing?.has(seat) === true && isAlive && orders.length === 0),
      ...(losses.isGathering ? ['decide'] : []),
      ...(isSettled && isChanging ? ['change'] : []),
      ...(isSettled && !isChanging && !isWhole ? ['house'] : []),
      ...(isSettled && !isChanging && isWhole ? ['step'] : []),
    ];
  }

  act(action: string): void {
    const [word, seat] = action.split(' ') as [string, string | undefined];
    const rank = Number(seat);
    const { losses, wishes } = this;
    if (word === 'kill') {
      this.numFaults++;
      this.ranks[rank]!.isAlive = false;
      if (!losses.members.present.has(rank)) wishes.forget(rank, lost(rank)); // its link closed before it joined
    } else if (word in WISHES) {
      this.numWishes++;
      void wishes.add(WISHES[word as keyof typeof WISHES], rank, losses.members);
    } else if (word === 'hear') {
      this.ranks[rank]!.isHeard = true;
      this.decided(losses.hear({ kind: 'exit', about: [rank], error: lost(rank) }));
    } else if (word === 'decide') this.decided(losses.decide());
    else if (word === 'obey') this.obey(rank);
    else if (word === 'answer') this.answer(rank);
    else if (word === 'change') this.change();
    else if (word === 'house') this.house();
    else this.step();
  }

  /** Equal for worlds that go on alike: what epochs and versions are called doesn't matter, nor what is left of a rank that is gone. */
  get key(): string {
    const { members, isGathering, entering } = this.losses;
    const { epoch: current } = members;
    const { version: last } = this.live;
    const ranks = this.ranks.map(({ isAlive, isHeard, epoch, live, orders }) =>
      isAlive
        ? [
            ...[current - epoch, last - live.version, live.left.phy2log[0]!.join()],
            orders.map((order) =>
              'commit' in order ? `c${last - order.commit.version}` : `e${current - order.epoch}`,
            ),
          ]
        : isHeard,
    );
    const wishers = Reflect.get(this.wishes, 'wishers') as { wish: string; rank: number }[];
    const wished = wishers.map(({ wish, rank }) => `${wish} ${rank}`);
    const state = [
      [...members.present],
      [...members.leaving],
      [...members.demoted],
      isGathering,
      [...entering],
      wished,
    ];
    const heard = Reflect.get(this.losses, 'reports') as { about: unknown }[];
    const rest = [this.live.left.phy2log[0]!.join(), this.missing && [...this.missing].sort()];
    const counts = [this.numFaults, this.numWishes, this.hasEnded, heard.map(({ about }) => about)];
    return JSON.stringify([ranks, state, rest, counts]);
  }

  private decided(decision: Decision | null): void {
    if (decision === null) return;
    this.missing = null; // abandoned
    for (const { rank, error } of decision.lost) {
      this.ranks[rank]!.isAlive = false;
      this.wishes.forget(rank, error);
    }
    this.wishes.refuse('left', lost(decision.lost[0]!.rank));
    if (decision.end === null) this.declare([]);
    else this.hasEnded = true;
  }

  private change(): void {
    const change = this.wishes.changeOf(this.losses.members)!;
    const { joined = [], left = [] } = change;
    expect(this.losses.plan(change)).to.equal(true);
    for (const rank of left) {
      this.ranks[rank]!.isAlive = false;
      this.wishes.forget(rank, lost(rank));
    }
    this.declare(joined);
    this.wishes.enter(this.losses.members);
  }

  private declare(joined: readonly number[]): void {
    const { epoch, present } = this.losses.members;
    expect(this.epochs, 'an epoch has its number alone').not.to.include(epoch);
    this.epochs.push(epoch);
    const { version, left } = this.live;
    for (const rank of present) {
      const told = joined.includes(rank) ? { placement: { version, phy2log: left.phy2log } } : {};
      this.ranks[rank]!.orders.push({ epoch, members: [...present], ...told });
    }
    this.live.enter(absentOf(present));
  }

  private obey(rank: number): void {
    const own = this.ranks[rank]!;
    const order = own.orders.shift()!;
    if ('commit' in order) return own.live.commit(order.commit);
    const { epoch, members, placement } = order;
    own.epoch = epoch;
    own.live.enter(absentOf(members));
    if (placement !== undefined) own.live.commit(placementFrom(placement.version, NUM_SEATS, 3, placement.phy2log));
    this.losses.enter(rank, epoch);
  }

  /** Experts that nobody holds any more, taken from disk. */
  private house(): void {
    const { members } = this.losses;
    const current = this.live.left;
    const { next, homeless } = findHomes({ current, ranks: holdersOf(members), rooms: new Map() });
    expect(homeless, `homes on ${holdersOf(members).join()}`).to.deep.equal([]);
    this.live.commit(next);
    for (const rank of members.present) this.ranks[rank]!.orders.push({ commit: next });
  }

  private step(): void {
    expect(homelessIn(this.live.left), 'no step without a home for every expert').to.deep.equal([]);
    const { present, epoch } = this.losses.members;
    const late = [...present].filter((rank) => this.ranks[rank]!.epoch !== epoch);
    expect(late, 'no step before all are in the epoch').to.deep.equal([]);
    this.missing = new Set(present);
    expect(this.missing.size).to.be.greaterThan(0);
  }

  private answer(rank: number): void {
    const { epoch, live } = this.ranks[rank]!;
    expect([epoch, live.version, live.left.phy2log], 'all compute with the same epoch and placement').to.deep.equal([
      this.losses.members.epoch,
      this.live.version,
      this.live.left.phy2log,
    ]);
    this.missing!.delete(rank);
    if (this.missing!.size === 0) this.missing = null;
  }

  get isOver(): boolean {
    return this.hasEnded;
  }
}

const lost = (rank: number): EngineError => new EngineError('RANK_LOST', `rank ${rank} is gone; look at its log`);

/** With all that it consists of, but what never changes. */
function copyOf<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Error || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(copyOf) as T;
  if (value instanceof Set) return new Set([...value].map(copyOf)) as T;
  if ('phy2log' in value) return value; // a placement
  const copy = Object.create(Object.getPrototypeOf(value) as object) as T;
  for (const name in value) copy[name] = copyOf(value[name]);
  return copy;
}

/** Everything that can happen within limits. Returns how many worlds there are, and in how many of them the job has ended. */
function explore(limits: Limits): { readonly numWorlds: number; readonly numEnded: number } {
  const seen = new Set<string>();
  const open: { readonly world: World; readonly story: string }[] = [{ world: new World(limits), story: '' }];
  let numEnded = 0;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { world, story } = next;
    const { key } = world;
    if (seen.has(key)) continue;
    seen.add(key);
    if (world.isOver) numEnded++;
    expect(world.within().length > 0 || world.isOver, `nothing goes on after: ${story}`).to.equal(true);
    for (const action of world.next()) {
      const after = copyOf(world);
      after.act(action);
      open.push({ world: after, story: `${story}, ${action}` });
    }
  }
  return { numWorlds: seen.size, numEnded };
}

describe('membership, whatever happens in whatever order', function () {
  this.timeout(Number(process.env.SOAK_WISHES ?? 0) > 1 ? 600_000 : 60_000);

  // `npm run soak`: two of each.
  const wishes = Number(process.env.SOAK_WISHES ?? 1);
  for (const limits of [
    { faults: 2, wishes },
    { faults: 1, wishes: 2 },
  ]) {
    it(`never stops, never gives two epochs one number, and never steps with an expert without a home, or with a rank in another epoch: ${JSON.stringify(limits)}`, () => {
      const { numWorlds, numEnded } = explore(limits);
      expect(numWorlds).to.be.greaterThan(1000);
      expect(numEnded).to.be.greaterThan(0);
    });
  }
});
