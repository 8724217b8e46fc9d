import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { balancedness, rankLoads } from '../../../../experts/placement/balance.js';
import { ExpertError } from '../../../../compute/base/errors.js';
import { eplb } from '../../../../experts/placement/planners/eplb.js';
import { repoRoot } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { eplbRef } from '../../../refs/eplb_ref.js';
import { randomFrom } from '../../../refs/random.js';

interface Case {
  readonly name: string;
  readonly weight: readonly (readonly number[])[];
  readonly num_replicas: number;
  readonly num_groups: number;
  readonly num_nodes: number;
  readonly num_gpus: number;
  readonly phy2log: readonly (readonly number[])[];
  readonly logcnt: readonly (readonly number[])[];
  /** Padded with −1, in the order of replication. */
  readonly log2phy: readonly (readonly (readonly number[])[])[];
  readonly balancedness_mean_over_max: readonly number[];
}

const { cases } = JSON.parse(readFileSync(join(repoRoot(), 'test', 'data', 'load', 'eplb.json'), 'utf8')) as {
  readonly cases: readonly Case[];
};

const lists = (tables: readonly ArrayLike<number>[]): number[][] => tables.map((table) => Array.from(table));

describe('eplb', () => {
  for (const golden of cases) {
    it(`makes the published algorithm's plan: ${golden.name}`, () => {
      const { num_replicas: numSlots, num_gpus: numRanks, num_nodes: numNodes, num_groups: numGroups } = golden;
      const { placement } = eplb().plan(golden.weight, { numSlots, numRanks, numNodes, numGroups }, null);
      expect(lists(placement.phy2log)).to.deep.equal(golden.phy2log);
      expect(lists(placement.logcnt)).to.deep.equal(golden.logcnt);
      const replicas = golden.log2phy.map((experts) =>
        experts.map((held) => held.filter((p) => p >= 0).sort((a, b) => a - b)),
      );
      expect(placement.log2phy.map(lists)).to.deep.equal(replicas);
      golden.weight.forEach((load_E, layer) => {
        const figure = balancedness(rankLoads(load_E, placement, layer));
        expect(figure).to.be.closeTo(golden.balancedness_mean_over_max[layer]!, 1e-6);
      });
    });
  }

  it('agrees with the slow reference on random shapes and loads, with ties and zeros', () => {
    const random = randomFrom(41);
    const upTo = (max: number): number => 1 + Math.floor(random() * max);
    for (let i = 0; i < 400; i++) {
      const [numNodes, groupsPerNode, groupSize] = [upTo(3), upTo(3), upTo(4)];
      const [numGroups, numRanks] = [numNodes * groupsPerNode, numNodes * upTo(3)];
      const numExperts = numGroups * groupSize;
      const numSlots = numRanks * (Math.ceil(numExperts / numRanks) + Math.floor(random() * 3));
      const top = [3, 1000, 1e6][i % 3]!; // few values: many ties
      const weight = Array.from({ length: numExperts }, () => Math.floor(random() * top));
      // Every second time the groups don't divide by the nodes: the global policy.
      const topology = { numRanks, numSlots, numNodes: i % 2 === 0 ? numNodes : numGroups + 1, numGroups };
      const { placement } = eplb().plan([weight], topology, null);
      const expected = eplbRef({ weight, numReplicas: numSlots, numGpus: numRanks, ...topology });
      expect(lists(placement.phy2log), JSON.stringify({ weight, topology })).to.deep.equal([expected]);
    }
  });

  it('a negative zero is a zero', () => {
    const topology = { numRanks: 2, numSlots: 4 };
    const [one, other] = [-0, 0].map((zero) => eplb().plan([[5, zero, 3, 1]], topology, null).placement);
    expect(one!.phy2log).to.deep.equal(other!.phy2log);
  });

  it('refuses slots, experts and ranks that do not divide, with both numbers', async () => {
    const weight = [[1, 2, 3, 4, 5, 6]];
    const wrong: [object, string][] = [
      [{ numRanks: 4, numSlots: 6 }, '6 on 4'],
      [{ numRanks: 2, numSlots: 6, numGroups: 4 }, '6 experts'],
      [{ numRanks: 3, numSlots: 6, numNodes: 2, numGroups: 2 }, '3 ranks'],
    ];
    for (const [topology, words] of wrong) {
      const error = await errorOf(ExpertError, () => eplb().plan(weight, topology as never, null));
      expect(error.code).to.equal('INVALID_ARGUMENT');
      expect(error.message).to.contain(words);
    }
  });
});
