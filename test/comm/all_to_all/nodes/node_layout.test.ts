import { expect } from 'chai';
import fc from 'fast-check';
import { asRank } from '../../../../comm/index.js';
import {
  choicesOf,
  nodeLayoutsOf,
  NodePlan,
  relayedLayoutOf,
  withoutMissing,
} from '../../../../comm/all_to_all/nodes/node_layout.js';

const world = fc
  .record({
    numTopk: fc.integer({ min: 1, max: 5 }),
    slotsPerRank: fc.integer({ min: 1, max: 3 }),
    ranksPerNode: fc.integer({ min: 1, max: 4 }),
    numNodes: fc.integer({ min: 1, max: 4 }),
    numTokens: fc.integer({ min: 0, max: 8 }),
    draws: fc.array(fc.nat(), { minLength: 40, maxLength: 40 }),
    missing: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 4, maxLength: 4 }),
  })
  .map(({ draws, numNodes, numTokens, missing, ...shape }) => {
    const numExperts = numNodes * shape.ranksPerNode * shape.slotsPerRank;
    const topkIdx = Int32Array.from(draws.slice(0, numTokens * shape.numTopk), (draw) => (draw % (numExperts + 1)) - 1);
    return { shape, numNodes, numTokens, topkIdx, missing: Uint8Array.from(missing.slice(0, shape.ranksPerNode)) };
  });

describe('node layouts', () => {
  it('hold every choice once, and give the routing back', () => {
    fc.assert(
      fc.property(world, ({ shape, numNodes, numTokens, topkIdx }) => {
        const nodes = nodeLayoutsOf(topkIdx, shape, numNodes);
        expect(choicesOf(nodes, numTokens, shape)).to.deep.equal(topkIdx);
        const numChoices = topkIdx.filter((expert) => expert >= 0).length;
        expect(nodes.reduce((sum, { numPairs }) => sum + numPairs, 0)).to.equal(numChoices);
        for (const { slots } of nodes) {
          const { whole, byLocal } = relayedLayoutOf(slots, shape);
          expect([...whole.rows]).to.deep.equal([...whole.rows.keys()]);
          expect(byLocal.reduce((sum, { numPairs }) => sum + numPairs, 0)).to.equal(whole.numPairs);
        }
      }),
      { seed: 5 },
    );
  });

  it('leave out the choices of missing ranks and nothing else, alike at source and relay', () => {
    fc.assert(
      fc.property(world, ({ shape, numNodes, numTokens, topkIdx, missing }) => {
        const nodes = nodeLayoutsOf(topkIdx, shape, numNodes);
        const kept = nodes.map((layout) => withoutMissing(layout, missing, shape));
        const expected = topkIdx.map((expert) => {
          const local = Math.floor(expert / shape.slotsPerRank) % shape.ranksPerNode;
          return expert >= 0 && missing[local] === 1 ? -1 : expert;
        });
        expect(choicesOf(kept, numTokens, shape)).to.deep.equal(expected);
        for (const [node, { slots }] of nodes.entries()) {
          const atRelay = withoutMissing(relayedLayoutOf(slots, shape).whole, missing, shape);
          expect(atRelay.slots).to.deep.equal(kept[node]!.slots);
          expect(atRelay.rows.map((n) => nodes[node]!.rows[n]!)).to.deep.equal(kept[node]!.rows);
        }
      }),
      { seed: 6 },
    );
  });

  it('know a rank’s node, its mates and its relays', () => {
    const plan = new NodePlan(asRank(5), 12, 4);
    expect(plan).to.include({ numNodes: 3, ranksPerNode: 4, node: 1, local: 1 });
    const peers = [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11].map(asRank);
    expect(plan.onNode(peers)).to.deep.equal([4, 6, 7]);
    expect(plan.relays(peers)).to.deep.equal([1, 9]);
    expect(plan.byNode((node) => plan.rankAt(node, 3))).to.deep.equal([3, 7, 11]);
  });
});
