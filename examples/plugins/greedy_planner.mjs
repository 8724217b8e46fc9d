/** The hottest experts first, each to the rank that has least to do; what slots are left are further copies of the hottest. */

/** @type {import('expertwire').Plugin} */
export default (api) =>
  api.registerPlanner('greedy', ({ load_LE, numExperts, topology: { numRanks, numSlots } }) => {
    const width = Math.ceil(numSlots / numRanks);
    return load_LE.map((load) => {
      const copies = new Int32Array(numExperts).fill(1);
      const heat = (e) => load[e] / copies[e];
      for (let spare = numSlots - numExperts; spare > 0; spare--) {
        const able = [...copies.keys()].filter((e) => copies[e] < numRanks);
        if (able.length > 0) copies[able.reduce((a, b) => (heat(b) > heat(a) ? b : a))]++;
      }
      const ranks = Array.from({ length: numRanks }, (_, rank) => ({ rank, heat: 0, held: [] }));
      const capacity = ({ rank }) => Math.floor(numSlots / numRanks) + (rank < numSlots % numRanks ? 1 : 0);
      for (const e of [...copies.keys()].sort((a, b) => heat(b) - heat(a) || a - b)) {
        for (let copy = 0; copy < copies[e]; copy++) {
          const free = ranks.filter((each) => each.held.length < capacity(each) && !each.held.includes(e));
          const to = free.reduce((a, b) => (b.heat < a.heat ? b : a), free[0]);
          if (to !== undefined) to.heat += heat(to.held[to.held.push(e) - 1]);
        }
      }
      return Int32Array.from(ranks.flatMap(({ held }) => [...held, ...Array(width - held.length).fill(-1)]));
    });
  });
