import { ExpertPredictor, type LayerUse, type Predicted } from './expert_predictor.js';
import { GuessRecord } from './guess_record.js';
import type { TierCounts } from './tier_counts.js';
import type { TieredExpert } from './tiered_expert.js';
import { HALF_LIFE_STEPS, type ExpertUse } from './tier_policy.js';

/** A MoE layer, as the model numbers them. */
export interface TieredLayer {
  readonly layer: number;
  readonly numExperts: number;
}

/** Less likely ones aren't thought of. */
const LEAST_CHANCE = 0.2;
/** What is read ahead is wanted at least this often. Why: docs/decisions/memory.md#what-is-read-ahead */
const LEAST_TRUE = 0.5;
/** Frequencies are scaled down where they come near to what a number holds. */
const MOST_UNIT = 2 ** 512;

/** Which experts were used when, and which will be. */
export class TierUse {
  private readonly places: ReadonlyMap<number, number>;
  private readonly predictor: ExpertPredictor;
  /** The layer at hand and the one before, of which several calls may be. */
  private now: { readonly place: number; readonly experts: Set<number> } | null = null;
  private before: LayerUse | null = null;
  /** Of the layer at hand: as many as its last call used. */
  private likely: ReadonlySet<number> = new Set();
  /** For the next layer, and for the one at hand: what wasn't resident when it was predicted. */
  private coming: Predicted[] = [];
  private guessed: readonly Predicted[] = [];
  private readonly guesses = new GuessRecord();
  private next: readonly Predicted[] = [];
  private numCalls = 0;
  private turn = 0;
  /** Uses of the step at hand, which count when it is over: else those whose layers come later in it would be the ones that go. */
  private used: TieredExpert[] = [];
  private unit = 1;

  constructor(
    private readonly layers: readonly TieredLayer[],
    private readonly counts: TierCounts,
    private readonly held: Iterable<TieredExpert>,
  ) {
    this.places = new Map(layers.map(({ layer }, place) => [layer, place]));
    this.predictor = new ExpertPredictor(layers.map(({ numExperts }) => numExperts));
  }

  /**
   * A call on experts of one layer; true: the layer has begun with it. `turn`: calls of one step on the same layer have ascending ones, which is what tells steps
   * apart where the rank has nothing to do in others.
   */
  note(experts: readonly TieredExpert[], turn: number): boolean {
    const place = this.places.get(experts[0]!.layer)!;
    const isNew = this.now?.place !== place || turn <= this.turn;
    if (isNew) this.enter(place);
    this.turn = turn;
    this.numCalls++;
    for (const expert of experts) {
      this.now!.experts.add(expert.expert);
      this.countUse(expert, place);
      expert.earlier = useOf(expert);
      expert.numUses++;
      this.used.push(expert);
      expert.lastUse = this.numCalls;
    }
    return isNew;
  }

  /** What the next layer will want, most likely first; its number as the model has it. */
  predict(): { readonly layer: number; readonly experts: readonly Predicted[] } {
    const { place, experts } = this.now!;
    this.next = this.predictor.predict({ place, experts: [...experts] }, LEAST_CHANCE);
    this.coming = [];
    return { layer: this.layers[this.predictor.next(place)]!.layer, experts: this.next };
  }

  /** Of those, one that isn't resident: whether such ones were wanted often enough to be read now. */
  isWorthReading(predicted: Predicted): boolean {
    this.coming.push(predicted);
    return this.guesses.shareTrue(predicted.chance) >= LEAST_TRUE;
  }

  /** Behind the layers comes another step. */
  private enter(place: number): void {
    const { now, before } = this;
    const left = now && { place: now.place, experts: [...now.experts] };
    for (const { expert, chance } of this.guessed) this.guesses.count(chance, now!.experts.has(expert));
    // Of a layer that the rank had nothing to do in, nothing was wanted.
    const isNext = left !== null && place === this.predictor.next(left.place);
    if (!isNext) for (const { chance } of this.coming) this.guesses.count(chance, false);
    this.guessed = isNext ? this.coming : [];
    this.likely = new Set(isNext ? this.next.slice(0, left.experts.length).map(({ expert }) => expert) : []);
    this.coming = [];
    this.next = [];
    if (left !== null && before !== null) this.predictor.learn(before, left);
    this.before = left;
    this.now = { place, experts: new Set() };
    if (left === null || place > left.place) return;
    for (const expert of this.used) expert.frequency += this.unit;
    this.used = [];
    this.unit *= 2 ** (1 / HALF_LIFE_STEPS);
    if (this.unit < MOST_UNIT) return;
    for (const expert of this.held) {
      const { earlier } = expert;
      if (earlier !== expert) expert.earlier = { ...earlier, frequency: earlier.frequency / this.unit };
      expert.frequency /= this.unit;
    }
    this.unit = 1;
  }

  private countUse({ slot, expert, present }: TieredExpert, place: number): void {
    const { counts } = this;
    if (this.likely.has(expert)) counts.count('predicted', place);
    const isReady = slot?.isReady === true;
    const isAhead = slot?.isAhead === true;
    counts.count(present === null ? 'waits' : !isReady ? 'warm' : isAhead ? 'ahead' : 'hits', place);
    if (!isAhead) return;
    counts.numAheadUsed++;
    slot.isAhead = false;
  }
}

const useOf = ({ layer, expert, numUses, frequency, lastUse }: ExpertUse): ExpertUse => ({
  ...{ layer, expert },
  ...{ numUses, frequency, lastUse },
});
