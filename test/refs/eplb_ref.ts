/** EPLB step by step as its authors write it, one layer at a time on plain lists: slow, without any shortcut. */

export interface EplbRequest {
  readonly weight: readonly number[];
  readonly numReplicas: number;
  readonly numGroups: number;
  readonly numNodes: number;
  readonly numGpus: number;
}

const f32 = Math.fround;
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const inverse = (order: readonly number[]): number[] => range(order.length).map((i) => order.indexOf(i));

/** phy2log of one layer. */
export function eplbRef({ weight, numReplicas, numGroups, numNodes, numGpus }: EplbRequest): number[] {
  const isHierarchical = numGroups % numNodes === 0;
  const [groups, nodes] = isHierarchical ? [numGroups, numNodes] : [1, 1];
  const groupSize = weight.length / groups;
  // Step 1: groups to nodes.
  const perGroup = range(groups).map((g) =>
    range(groupSize).reduce((sum, i) => f32(sum + f32(weight[g * groupSize + i]!)), 0),
  );
  const packed = pack(perGroup, nodes);
  const log2mlog = weight.map((_, e) => {
    const g = Math.floor(e / groupSize);
    return (packed.pack[g]! * (groups / nodes) + packed.place[g]!) * groupSize + (e % groupSize);
  });
  const mlog2log = inverse(log2mlog);
  const perNode = weight.length / nodes;
  return range(nodes).flatMap((node) => {
    const own = mlog2log.slice(node * perNode, (node + 1) * perNode);
    const load = own.map((e) => f32(weight[e]!));
    // Step 2: replicas within a node.
    const phy2mlog = range(perNode);
    const count = load.map(() => 1);
    while (phy2mlog.length < numReplicas / nodes) {
      const each = load.map((w, m) => f32(w / count[m]!));
      const hottest = each.indexOf(Math.max(...each));
      phy2mlog.push(hottest);
      count[hottest]!++;
    }
    // Step 3: replicas to the GPUs of the node.
    const numPacks = numGpus / nodes;
    const result = pack(
      phy2mlog.map((m) => f32(load[m]! / count[m]!)),
      numPacks,
    );
    const phy2pphy = phy2mlog.map((_, p) => result.pack[p]! * (phy2mlog.length / numPacks) + result.place[p]!);
    return inverse(phy2pphy).map((p) => own[phy2mlog[p]!]!);
  });
}

function pack(weights: readonly number[], numPacks: number): { pack: number[]; place: number[] } {
  const perPack = weights.length / numPacks;
  if (perPack === 1) return { pack: range(weights.length), place: weights.map(() => 0) };
  const packs = range(numPacks).map((index) => ({ index, weight: 0, items: 0 }));
  const result = { pack: weights.map(() => -1), place: weights.map(() => -1) };
  for (const item of range(weights.length).sort((a, b) => weights[b]! - weights[a]! || a - b)) {
    const open = packs.filter(({ items }) => items < perPack).sort((a, b) => a.weight - b.weight || a.index - b.index);
    const lightest = open[0]!;
    result.pack[item] = lightest.index;
    result.place[item] = lightest.items++;
    lightest.weight = f32(lightest.weight + weights[item]!);
  }
  return result;
}
