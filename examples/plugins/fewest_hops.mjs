/** The replica whose rank is next in number, counted up from the own one: in a ring, the one that is fewest hops away. */

/** @type {import('expertwire').Plugin} */
export default (api) =>
  api.registerReplicaChoice('fewest_hops', ({ rank }) => ({
    choose(topkIdx, { log2phy, slotsPerRank, numRanks }, moeLayer) {
      const hops = (slot) => (Math.floor(slot / slotsPerRank) - rank + numRanks) % numRanks;
      const nearest = (slots) => slots.reduce((a, b) => (hops(b) < hops(a) ? b : a));
      return topkIdx.map((e) => (e < 0 || log2phy[moeLayer][e].length === 0 ? -1 : nearest(log2phy[moeLayer][e])));
    },
  }));
