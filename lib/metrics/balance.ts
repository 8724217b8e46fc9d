/** How evenly the tokens of the MoE layers fall on ranks and experts: the figures are those of the planners. */
export { balancedness, rankLoads } from '../../experts/placement/balance.js';
