/** Of the experts in memory, one of the layer whose turn comes last goes; of these the one that was used least. */

/** @type {import('expertwire').Plugin} */
export default (api) =>
  api.registerTierPolicy('farthest_layer', (resident, wanted) => {
    const turn = ({ layer }) => (layer > wanted.layer ? layer - wanted.layer : layer - wanted.layer + 1e6); // the next step's
    const goesBefore = (a, b) => turn(a) - turn(b) || b.frequency - a.frequency;
    return resident.reduce((best, use, i) => (goesBefore(use, resident[best]) > 0 ? i : best), 0);
  });
