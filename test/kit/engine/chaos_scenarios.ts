/** Jobs of real processes and what befalls them, one for each seed: options of `bench chaos`. */
import { parseOptions, type ChaosOptions } from '../../../bench/chaos/options.js';
import { WIRE_DTYPES } from '../../../comm/codec/wire_dtype.js';
import { MOMENTS } from '../../../bench/chaos/plan/fault.js';
import { randomFrom } from '../../refs/random.js';

/** Experts move all the time. */
const MOVING = ['enabled=true', 'step_interval=8', 'cool_down=1', 'min_gain=0'].map((key) => `load_balance.${key}`);

/** Files of a certificate that its ranks have where they use TLS. */
export type TlsFiles = Readonly<Record<'cert' | 'key' | 'ca', string>>;

/** 2 to 6 ranks, with replicas or without, whose experts move or don't, over links of every kind; faults of every kind, at any moment. */
export function chaosScenario(seed: number, tls: TlsFiles): ChaosOptions {
  const random = randomFrom(seed);
  const below = (count: number): number => Math.floor(random() * count);
  const ranks = 2 + below(5);
  const redundant = [0, 0, 8][below(3)]!;
  const isMoving = below(2) === 0;
  const moments = MOMENTS.filter((moment) => moment !== 'moving' || isMoving);
  const hasTls = below(4) === 0;
  // Those go through relays, which can't read TLS.
  const links = hasTls ? { cut: 0, silence: 0 } : { cut: 1, silence: 1 };
  const faults = { kill: 2, stop: 1, slow: 1, ...links, leave: 1, abort: 1, join: Math.max(3, 7 - ranks) };
  return parseOptions([
    ...Object.entries({ ranks, seed, redundant, ...faults }).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...['--when', moments.join(','), '--max-ranks', '8', '--timeout-ms', '2000', '--streams', '8'],
    ...['--requests', '12', '--new-tokens', '40', '--gap-tokens', '60', '--slow-ms', '400'],
    ...[...(isMoving ? MOVING : []), ...keysOf(below, hasTls ? tls : null)].flatMap((each) => ['--set', each]),
  ]);
}

function keysOf(below: (count: number) => number, tls: TlsFiles | null): string[] {
  const maybe = (...keys: string[]): string[] => (below(3) === 0 ? keys : []);
  const wire = (name: string): string => `comm.wire.${name}=${WIRE_DTYPES[below(WIRE_DTYPES.length)]!}`;
  return [
    ...(tls === null ? [] : Object.entries(tls).map(([name, file]) => `comm.tls.${name}=${file}`)),
    ...maybe('comm.io_thread=true'),
    ...maybe('comm.micro_batches=2'),
    ...maybe(wire('dispatch'), wire('combine')),
    ...maybe('engine.max_num_seqs=6', 'engine.max_num_batched_tokens=24'),
    ...maybe('engine.prefix_cache=off'),
    ...maybe('parallel.spare_ranks=1'),
    ...maybe('experts.resident=int8'),
  ];
}
