/**
 * The planner that starts from the present placement and makes the moves that are worth their bytes. Loads drift: what counts is the next window, so it
 * doesn't chase the last per cent of this one, and keeps replicas of what is hot. Why: docs/decisions/placement.md#eplb_stable-is-a-local-search
 */
import { createPlacement } from '../placement.js';
import { arrivalCost, growthGain } from './gains.js';
import { LayerSlots } from './layer_slots.js';
import { MoveSearch } from './move_search.js';
import { invalid, plannerOf, type Planner, type PlanRequest } from './planner.js';
import { relaid, roomsOf } from './topology.js';

/** What a move must be worth. */
export interface StableOptions {
  /** By how much a replica that changes its rank must lower Σ (rank load / mean)² of its layer. Default 0.003. */
  readonly moveCost?: number;
  /** Variance of the relative error that an expert's load is expected to have in the next window. Default 1. */
  readonly risk?: number;
}

const DEFAULTS: Required<StableOptions> = { moveCost: 0.003, risk: 1 };

/**
 * Every slot is used, no rank holds an expert twice, and nothing moves where no move is worth its cost: planning again from the result with the same load
 * returns it. Any number of slots from the number of experts on.
 */
export function eplbStable(options: StableOptions = {}): Planner {
  const chosen = { ...DEFAULTS, ...options };
  for (const [name, value] of Object.entries(chosen)) {
    if (!Number.isFinite(value) || value < 0) throw invalid(`${name} is ${value}; give a finite number from 0`);
  }
  return plannerOf('eplb_stable', (request) => {
    const start = startOf(request);
    return request.load_LE.map((load_E, layer) => planLayer(load_E, start[layer]!, request.topology, chosen));
  });
}

function planLayer(
  load_E: ArrayLike<number>,
  start: Int32Array,
  topology: PlanRequest['topology'],
  options: Required<StableOptions>,
): Int32Array {
  const slots = new LayerSlots(load_E, start.slice(), topology.capacities);
  const rooms = roomsOf(topology);
  addMissing(slots, rooms);
  fillEmpty(slots, rooms, options.risk);
  // An expert that left its rank and came back may be in another slot: a fresh look at the tidied table ends it.
  do improve(slots, options);
  while (restoreSlots(slots, start));
  return slots.table;
}

/** The present placement, or a linear one, in the layout of the plan. */
function startOf({ load_LE, numExperts, topology, current }: PlanRequest): Int32Array[] {
  const shape = { numLayers: load_LE.length, numExperts, numRanks: topology.numRanks };
  const { phy2log, slotsPerRank } = current ?? createPlacement('linear', shape);
  return phy2log.map((table) => relaid(table, slotsPerRank, topology));
}

/** Experts without a replica (their ranks were lost or have fewer slots now), the hottest first, on the rank that is done first and has room. */
function addMissing(slots: LayerSlots, rooms: Int32Array): void {
  const missing = [...slots.count.keys()].filter((expert) => slots.count[expert] === 0);
  missing.sort((a, b) => slots.load[b]! - slots.load[a]! || a - b);
  for (const expert of missing) {
    const isFree = (slot: number): boolean => slots.table[slot]! < 0;
    const isSpare = (slot: number): boolean => (slots.count[slots.table[slot]!] ?? 0) > 1;
    const slot = coldestSlot(slots, rooms, expert, isFree) ?? coldestSlot(slots, rooms, expert, isSpare);
    slots.put(slot!, expert); // there are at least as many slots as experts
  }
}

/** Of the slots that ranks have and that pass, the first of the rank that is done first, on a slower one with the expert, too. */
function coldestSlot(
  slots: LayerSlots,
  rooms: Int32Array,
  expert: number,
  passes: (slot: number) => boolean,
): number | undefined {
  const { rankOf, rankTime, pace, load } = slots;
  const able = Array.from(slots.table.keys()).filter((slot) => isUsable(slots, rooms, slot) && passes(slot));
  // What it takes longer there than on a rank of mean speed: nothing where ranks are alike.
  const timeOf = (slot: number): number => rankTime[rankOf[slot]!]! + load[expert]! * (pace[rankOf[slot]!]! - 1);
  return able.reduce<number | undefined>((best, slot) => {
    return best === undefined || timeOf(slot) < timeOf(best) ? slot : best;
  }, undefined);
}

const isUsable = ({ slotsPerRank }: LayerSlots, rooms: Int32Array, slot: number): boolean =>
  slot % slotsPerRank < rooms[Math.floor(slot / slotsPerRank)]!;

/** One replica after the other where it gains most; a rank that holds every expert keeps empty slots. */
function fillEmpty(slots: LayerSlots, rooms: Int32Array, risk: number): void {
  const { table, count, load, slotsPerRank } = slots;
  for (;;) {
    const growth = Float64Array.from(count, (_, expert) => growthGain(slots, risk, expert));
    let best = -Infinity;
    let [slot, expert] = [-1, -1];
    for (let rank = 0; rank < slots.numRanks; rank++) {
      const free = table.indexOf(-1, rank * slotsPerRank);
      if (free < 0 || slots.rankOf[free] !== rank || !isUsable(slots, rooms, free)) continue;
      for (let e = 0; e < count.length; e++) {
        const gain = growth[e]! - arrivalCost(slots, rank, load[e]! / (count[e]! + 1), slots.rankTime[rank]!);
        if (gain > best && !slots.holds(rank, e)) [best, slot, expert] = [gain, free, e];
      }
    }
    if (slot < 0) return;
    slots.put(slot, expert);
  }
}

/** Every move lowers Q by at least its cost, so they come to an end. */
function improve(slots: LayerSlots, { moveCost, risk }: Required<StableOptions>): void {
  const search = new MoveSearch(slots, moveCost, risk);
  for (let move = search.next(); move !== null; move = search.next()) {
    if (move.kind === 'swap') slots.swap(move.a, move.b);
    else slots.put(move.slot, move.expert);
  }
}

/** Experts that are on the rank where they were go back to the slot in which they were; whether any did. */
function restoreSlots(slots: LayerSlots, start: Int32Array): boolean {
  const { table, rankOf, slotsPerRank } = slots;
  let isChanged = false;
  for (const [slot, expert] of start.entries()) {
    if (expert < 0 || table[slot] === expert || !slots.holds(rankOf[slot]!, expert)) continue;
    slots.swap(slot, table.indexOf(expert, rankOf[slot]! * slotsPerRank));
    isChanged = true;
  }
  return isChanged;
}
