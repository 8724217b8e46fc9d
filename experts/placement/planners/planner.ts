/**
 * Planning: from the load of the experts to a placement. Pure: numbers in, numbers out.
 * Shape suffixes: L MoE layers, E logical experts, P physical experts (slots of all ranks).
 */
import { balancednessOf, scaledLoad } from '../balance.js';
import { ExpertError } from '../../../compute/base/errors.js';
import { countsText, mostOf } from '../expert_counts.js';
import { placementFrom, type Placement } from '../placement.js';
import { REPLICA_SPLITS, type ReplicaSplit } from '../replica_split.js';
import { isSameTable, numMovedSlots, slotsPerRankOf, type PlanTopology } from './topology.js';

/** Load = tokens routed to each expert, [L][E], where layers may have different numbers of experts; any unit, since only proportions count. */
export type ExpertLoad = readonly ArrayLike<number>[];

/** What a plan is worth and what it costs. */
export interface PlanReport {
  /** Of the load that the plan was made from: judge a plan by the next window's. Null without a present placement. */
  readonly before: PlanBalance | null;
  readonly after: PlanBalance;
  /** Replicas, over all layers, on ranks that did not hold that expert before: what has to be copied. Without a present placement, all. */
  readonly numMovedSlots: number;
  /** Time of planning alone. */
  readonly planMs: number;
}

/** Balancedness over all layers (Σ mean / Σ max) of the time that ranks take, by how load is shared out over replicas. */
export type PlanBalance = Readonly<Record<ReplicaSplit, number>>;

/** What a planner returns. */
export interface Plan {
  readonly placement: Placement;
  readonly report: PlanReport;
}

/** Makes placements by one method. */
export interface Planner {
  readonly name: string;
  /**
   * Deterministic. The placement is `current` itself where nothing changes, otherwise a new one with the next version (0 without `current`).
   * @throws ExpertError INVALID_ARGUMENT for an empty, negative or infinite load, and for a topology that the planner can't serve
   */
  plan(load_LE: ExpertLoad, topology: PlanTopology, current: Placement | null): Plan;
}

/** Checked arguments of a plan. Where layers differ in experts, those with as many are planned together. */
export interface PlanRequest {
  readonly load_LE: ExpertLoad;
  /** Of every layer. */
  readonly numExperts: number;
  readonly topology: Required<PlanTopology>;
  readonly current: Placement | null;
}

/** A planner from what fills the slots: one table [P] per layer, in the layout of `slotsPerRankOf(topology)`, −1 = empty. */
export function plannerOf(name: string, fill: (request: PlanRequest) => readonly Int32Array[]): Planner {
  return {
    name,
    plan(load_LE, topology, current) {
      const request = checked(load_LE, topology, current);
      const startMs = performance.now();
      const phy2log = filledByCount(request, fill);
      const planMs = performance.now() - startMs;
      const placement = placementOf(phy2log, request);
      const before = current && balanceOf(request, current);
      const after = placement === current ? before! : balanceOf(request, placement);
      return { placement, report: { before, after, numMovedSlots: numMovedSlots(current, placement), planMs } };
    },
  };
}

/** Layers with equally many experts at a time, each group in slots of its own: as many further ones as the layers with most experts have. */
function filledByCount(request: PlanRequest, fill: (request: PlanRequest) => readonly Int32Array[]): Int32Array[] {
  const { load_LE, topology, current } = request;
  const tables: Int32Array[] = [];
  for (const numExperts of new Set(countsIn(load_LE))) {
    const own = [...load_LE.keys()].filter((layer) => load_LE[layer]!.length === numExperts);
    if (own.length === load_LE.length) return [...fill(request)];
    const narrow = narrowed(topology, request.numExperts, numExperts);
    const group = {
      ...{ load_LE: own.map((layer) => load_LE[layer]!), numExperts, topology: narrow },
      current: current && layersOf(current, own),
    };
    const width = slotsPerRankOf(narrow);
    for (const [i, table] of fill(group).entries()) tables[own[i]!] = widened(table, width, slotsPerRankOf(topology));
  }
  return tables;
}

/** Slots for layers with fewer experts: where all ranks of the others have as many, those of these do too. */
function narrowed(topology: PlanRequest['topology'], most: number, numExperts: number): PlanRequest['topology'] {
  const { numRanks, numSlots, maxSlotsPerRank } = topology;
  const wanted = Math.min(numExperts + numSlots - most, numExperts * numRanks);
  const slots = numSlots % numRanks === 0 ? numRanks * Math.ceil(wanted / numRanks) : wanted;
  return { ...topology, numSlots: slots, maxSlotsPerRank: mostRoom(numRanks, slots, maxSlotsPerRank, numExperts) };
}

/** More slots than experts are of use only where all ranks have them. */
const mostRoom = (numRanks: number, numSlots: number, maxSlotsPerRank: number, numExperts: number): number =>
  Math.max(Math.ceil(numSlots / numRanks), Math.min(maxSlotsPerRank, numExperts));

const layersOf = ({ version, numRanks, numExperts, phy2log }: Placement, layers: readonly number[]): Placement =>
  placementFrom(
    version,
    numRanks,
    layers.map((layer) => numExperts[layer]!),
    layers.map((layer) => phy2log[layer]!),
  );

/** The same slots, and empty ones behind them on each rank. */
function widened(table: Int32Array, from: number, to: number): Int32Array {
  const numRanks = table.length / from;
  const wide = new Int32Array(numRanks * to).fill(-1);
  for (let rank = 0; rank < numRanks; rank++) wide.set(table.subarray(rank * from, (rank + 1) * from), rank * to);
  return wide;
}

function placementOf(phy2log: readonly Int32Array[], { topology, load_LE, current }: PlanRequest): Placement {
  const isSame = current !== null && phy2log.every((table, layer) => isSameTable(table, current.phy2log[layer]!));
  if (isSame) return current;
  const version = current === null ? 0 : current.version + 1;
  return placementFrom(version, topology.numRanks, countsIn(load_LE), phy2log);
}

/** [L] */
const countsIn = (load_LE: ExpertLoad): number[] => load_LE.map(({ length }) => length);

const balanceOf = ({ load_LE, topology }: PlanRequest, placement: Placement): PlanBalance =>
  Object.fromEntries(
    REPLICA_SPLITS.map((split) => [split, balancednessOf(load_LE, placement, split, topology.capacities)]),
  ) as unknown as PlanBalance;

/** Slots, or ranks where there are more, × ranks over all layers: what a plan looks through. More would take minutes; the largest published deployments have a hundredth of it. */
const MAX_WORK = 2 ** 30;

/** A rank that is so much slower than another should hold no experts. */
const MIN_CAPACITY = 1e-6;

function checked(given: ExpertLoad, topology: PlanTopology, current: Placement | null): PlanRequest {
  const numExperts = mostOf(checkLoad(given));
  const load_LE = scaledLoad(given);
  const { numRanks, numSlots, numNodes = 1, numGroups = 1 } = topology;
  const { maxSlotsPerRank = Math.ceil(numSlots / numRanks) } = topology;
  for (const [name, value] of Object.entries({ numRanks, numSlots, numNodes, numGroups, maxSlotsPerRank })) {
    if (!Number.isSafeInteger(value) || value < 1) throw invalid(`${name} is ${value}; give a whole number from 1`);
  }
  if (numSlots < numExperts) {
    throw invalid(`${numSlots} slots for ${numExperts} experts; give at least one slot per expert`);
  }
  if (maxSlotsPerRank * numRanks < numSlots) {
    throw invalid(`${numSlots} slots on ${numRanks} ranks with room for ${maxSlotsPerRank} each; give fewer slots`);
  }
  checkCapacities(topology);
  checkPlanSize(load_LE.length, numSlots, numRanks);
  if (current !== null) checkCurrent(current, countsIn(load_LE), numRanks);
  const capacities = topology.capacities ?? new Array<number>(numRanks).fill(1);
  const most = mostRoom(numRanks, numSlots, maxSlotsPerRank, numExperts);
  const sizes = { numRanks, numSlots, numNodes, numGroups, maxSlotsPerRank: most };
  return { load_LE, numExperts, topology: { ...sizes, capacities }, current };
}

function checkCapacities({ capacities, numRanks }: PlanTopology): void {
  if (capacities === undefined) return;
  if (capacities.length !== numRanks) {
    throw invalid(`${capacities.length} capacities for ${numRanks} ranks; give one for each rank`);
  }
  for (const [rank, capacity] of capacities.entries()) {
    if (capacity >= MIN_CAPACITY && capacity <= 1 / MIN_CAPACITY) continue;
    throw invalid(
      `the capacity of rank ${rank} is ${capacity}; give a number from ${MIN_CAPACITY} to ${1 / MIN_CAPACITY}`,
    );
  }
}

/** Returns the experts of each layer. @throws ExpertError INVALID_ARGUMENT for a load that is empty, negative or infinite */
export function checkLoad(load_LE: ExpertLoad): readonly number[] {
  const counts = countsIn(load_LE);
  if (counts.length === 0 || counts.includes(0)) {
    throw invalid('the load has no layers, or one without experts; give [layers][experts] of numbers');
  }
  for (const [layer, load_E] of load_LE.entries()) {
    for (let e = 0; e < load_E.length; e++) {
      const load = load_E[e]!;
      if (Number.isFinite(load) && load >= 0) continue;
      throw invalid(`the load of layer ${layer}, expert ${e} is ${load}; give a finite number from 0`);
    }
  }
  return counts;
}

/** @throws ExpertError INVALID_ARGUMENT for what would take minutes to plan */
export function checkPlanSize(numLayers: number, numSlots: number, numRanks: number): void {
  if (numLayers * Math.max(numSlots, numRanks) * numRanks <= MAX_WORK) return;
  const what = `${numLayers} layers of ${numSlots} slots for ${numRanks} ranks`;
  throw invalid(`${what} are too much to plan; give fewer slots or ranks`);
}

function checkCurrent({ phy2log, numExperts, numRanks }: Placement, counts: readonly number[], ranks: number): void {
  if (numExperts.join() === counts.join() && numRanks === ranks) return;
  throw invalid(
    `the present placement is of ${phy2log.length} layers, ${countsText(numExperts)} experts and ${numRanks} ranks, the plan of ` +
      `${counts.length}, ${countsText(counts)} and ${ranks}; plan without it`,
  );
}

/** What every refusal of a planner is. */
export const invalid = (message: string): ExpertError => new ExpertError('INVALID_ARGUMENT', message);
