/** Jobs of real processes and what befalls them, one for each seed: options of `bench chaos`. */
import { parseOptions, type ChaosOptions } from '../../../bench/chaos/options.js';
import { MOMENTS } from '../../../bench/chaos/plan/fault.js';
import { randomFrom } from '../../refs/random.js';

/** Experts move all the time. */
const MOVING = ['enabled=true', 'step_interval=8', 'cool_down=1', 'min_gain=0'].map((key) => `load_balance.${key}`);

/** 2 to 6 ranks, with replicas or without, whose experts move or don't; faults of every kind, at any moment. */
export function chaosScenario(seed: number): ChaosOptions {
  const random = randomFrom(seed);
  const below = (count: number): number => Math.floor(random() * count);
  const ranks = 2 + below(5);
  const redundant = [0, 0, 8][below(3)]!;
  const isMoving = below(2) === 0;
  const moments = MOMENTS.filter((moment) => moment !== 'moving' || isMoving);
  const faults = { kill: 2, stop: 1, slow: 1, cut: 1, silence: 1, leave: 1, abort: 1, join: Math.max(3, 7 - ranks) };
  return parseOptions([
    ...Object.entries({ ranks, seed, redundant, ...faults }).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...['--when', moments.join(','), '--max-ranks', '8', '--timeout-ms', '2000', '--streams', '8'],
    ...['--requests', '12', '--new-tokens', '40', '--gap-tokens', '60', '--slow-ms', '400'],
    ...(isMoving ? MOVING : []).flatMap((each) => ['--set', each]),
  ]);
}
