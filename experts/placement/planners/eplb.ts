/**
 * DeepSeek's expert parallelism load balancer (github.com/deepseek-ai/EPLB, MIT licence), to the bit: float32 arithmetic, ties to the lowest index.
 * It knows ranks of one speed alone: where they differ, packs have different room and weight counts as time, on one node.
 * Suffixes: E logical experts, M experts in the order of nodes, P physical experts, in this file of one node where it says so.
 */
import { isAlike } from '../capacities.js';
import { invalid, plannerOf, type Planner, type PlanRequest } from './planner.js';
import { roomsOf } from './topology.js';

/**
 * Replicates experts in proportion to their load and packs the replicas to ranks of equal load. Looks at neither the present placement nor at which
 * replicas meet on a rank. `hierarchical` where the groups divide by the nodes, with each group on one node, else `global`.
 * Needs slots that divide by the ranks where these are alike, and for the hierarchical policy experts that divide by the groups and ranks by the nodes.
 */
export const eplb = (): Planner =>
  plannerOf('eplb', (request) => {
    const policy = policyOf(request);
    return request.load_LE.map((load_E) => planLayer(Float32Array.from(load_E, unsigned), policy));
  });

/** −0 → 0, whose bits sort where they should. */
const unsigned = (load: number): number => load + 0;

interface Policy {
  readonly numExperts: number;
  readonly numSlots: number;
  readonly numGroups: number;
  readonly numNodes: number;
  readonly numRanks: number;
  /** [ranks of a node] */
  readonly packs: Packs;
  /** Slots per rank in the layout of the plan. */
  readonly width: number;
}

/** What items are packed into. */
interface Packs {
  /** Items that fit into each. */
  readonly rooms: Int32Array;
  /** Weight that each takes in a unit of time; null: all alike. */
  readonly capacities: readonly number[] | null;
}

function policyOf({ numExperts, topology }: PlanRequest): Policy {
  const { numRanks, numSlots, numNodes, numGroups, capacities } = topology;
  if (!isAlike(capacities)) {
    const rooms = roomsOf(topology);
    const width = Math.max(...rooms);
    return { numExperts, numSlots, numRanks, numGroups: 1, numNodes: 1, packs: { rooms, capacities }, width };
  }
  const width = numSlots / numRanks;
  const packsOf = (numPacks: number): Packs => alike(numPacks, width);
  if (numSlots % numRanks !== 0) {
    throw invalid(`eplb needs slots that divide by the ranks, got ${numSlots} on ${numRanks}; use eplb_stable`);
  }
  const sizes = { numExperts, numSlots, numRanks, width };
  if (numGroups % numNodes !== 0) return { ...sizes, numGroups: 1, numNodes: 1, packs: packsOf(numRanks) };
  if (numExperts % numGroups !== 0) {
    throw invalid(`${numExperts} experts don't divide by ${numGroups} groups; give the model's number of groups, or 1`);
  }
  if (numRanks % numNodes !== 0) {
    throw invalid(`${numRanks} ranks don't divide by ${numNodes} nodes; give as many ranks on every node`);
  }
  return { ...sizes, numGroups, numNodes, packs: packsOf(numRanks / numNodes) };
}

const alike = (numPacks: number, room: number): Packs => ({
  rooms: new Int32Array(numPacks).fill(room),
  capacities: null,
});

/** [P] */
function planLayer(weight_E: Float32Array, policy: Policy): Int32Array {
  const { numSlots, numNodes, numRanks, packs, width } = policy;
  const mlog2log = orderByNode(weight_E, policy);
  const [expertsPerNode, slotsPerNode] = [weight_E.length / numNodes, numSlots / numNodes];
  const ranksPerNode = numRanks / numNodes;
  const phy2log = new Int32Array(numRanks * width).fill(-1);
  for (let node = 0; node < numNodes; node++) {
    const own = mlog2log.subarray(node * expertsPerNode, (node + 1) * expertsPerNode);
    const weight_M = Float32Array.from(own, (logical) => weight_E[logical]!);
    // 2. Replicate within the node.
    const { phy2mlog, mlogcnt } = replicate(weight_M, slotsPerNode);
    // 3. Pack the replicas to the node's ranks.
    const weight_P = Float32Array.from(phy2mlog, (mlog) => weight_M[mlog]! / mlogcnt[mlog]!);
    const { pack, place } = packBalanced(weight_P, packs);
    phy2mlog.forEach((mlog, p) => {
      phy2log[(node * ranksPerNode + pack[p]!) * width + place[p]!] = own[mlog]!;
    });
  }
  return phy2log;
}

/** 1. Packs the groups to the nodes: [M] the logical experts of node 0, then of node 1, … */
function orderByNode(weight_E: Float32Array, { numGroups, numNodes }: Policy): Int32Array {
  const groupSize = weight_E.length / numGroups;
  const groupWeights = new Float32Array(numGroups);
  for (let e = 0; e < weight_E.length; e++) groupWeights[Math.floor(e / groupSize)]! += weight_E[e]!;
  const { pack, place } = packBalanced(groupWeights, alike(numNodes, numGroups / numNodes));
  const mlog2log = new Int32Array(weight_E.length);
  for (let e = 0; e < weight_E.length; e++) {
    const group = Math.floor(e / groupSize);
    mlog2log[(pack[group]! * (numGroups / numNodes) + place[group]!) * groupSize + (e % groupSize)] = e;
  }
  return mlog2log;
}

/** Again and again one more replica for the expert with the largest load per replica. */
function replicate(weight_M: Float32Array, numSlots: number): { phy2mlog: Int32Array; mlogcnt: Int32Array } {
  const phy2mlog = Int32Array.from({ length: numSlots }, (_, p) => p);
  const mlogcnt = new Int32Array(weight_M.length).fill(1);
  const perReplica = weight_M.slice();
  for (let p = weight_M.length; p < numSlots; p++) {
    let hottest = 0;
    for (let m = 1; m < perReplica.length; m++) if (perReplica[m]! > perReplica[hottest]!) hottest = m;
    phy2mlog[p] = hottest;
    perReplica[hottest] = weight_M[hottest]! / ++mlogcnt[hottest]!;
  }
  return { phy2mlog, mlogcnt };
}

/**
 * Items by weight, descending, to the lightest pack that has room, or where packs differ to the one that would be done with it first; all are full in
 * the end. Per item its pack and its place there.
 */
function packBalanced(weights: Float32Array, { rooms, capacities }: Packs): { pack: Int32Array; place: Int32Array } {
  const numPacks = rooms.length;
  const numItems = weights.length;
  const pack = Int32Array.from({ length: numItems }, (_, item) => item);
  const place = new Int32Array(numItems);
  if (capacities === null && numItems === numPacks) return { pack, place };
  const packWeights = new Float32Array(numPacks);
  const packItems = new Int32Array(numPacks);
  const timeOf = (i: number, weight: number): number =>
    capacities === null ? packWeights[i]! : (packWeights[i]! + weight) / capacities[i]!;
  for (const item of descending(weights)) {
    const weight = weights[item]!;
    let lightest = -1;
    for (let i = 0; i < numPacks; i++) {
      if (packItems[i]! >= rooms[i]!) continue;
      if (lightest < 0 || timeOf(i, weight) < timeOf(lightest, weight)) lightest = i;
    }
    pack[item] = lightest;
    place[item] = packItems[lightest]!++;
    packWeights[lightest]! += weights[item]!;
  }
  return { pack, place };
}

/**
 * Indices by value, descending, then by index. Weights aren't negative, so that their bits are in their order: with the index in the lower bits
 * each is one number, and numbers sort four times as fast as with a comparison function.
 */
function descending(weights: Float32Array): Int32Array {
  const { length } = weights;
  const bits = new Uint32Array(weights.buffer, weights.byteOffset, length);
  const keys = new Float64Array(length);
  for (let i = 0; i < length; i++) keys[i] = bits[i]! * length + (length - 1 - i);
  keys.sort();
  const order = new Int32Array(length);
  for (let i = 0; i < length; i++) order[length - 1 - i] = length - 1 - (keys[i]! % length);
  return order;
}
