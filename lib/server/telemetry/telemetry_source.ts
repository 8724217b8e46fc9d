/** What telemetry sees of an engine: a played one serves the tests. */
import type { Engine } from '../../head/engine.js';

/** An {@link Engine}, or what looks like one. */
export type TelemetrySource = Pick<Engine, 'stats' | 'load' | 'limits' | 'placement' | 'watch'>;

/** Milliseconds that only go up: `performance.now`. */
export type Clock = () => number;
