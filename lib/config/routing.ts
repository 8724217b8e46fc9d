/** `experts.routing`: who chooses experts. */
import { causeText, shown } from '../../base/foreign_text.js';
import { ExpertError } from '../../compute/base/errors.js';
import { recordedRouting } from '../../experts/routing/recorded_routing.js';
import { syntheticRouting, type RoutingShape, type RoutingSource } from '../../experts/routing/routing_source.js';
import { ConfigError } from './errors.js';
import { isRoutingText, parseRoutingText, ROUTING_ALLOWED } from './routing_text.js';
import type { ExpertwireConfig } from './schema.js';

/**
 * What a checked configuration names; null for the gates.
 * @throws ConfigError INVALID_VALUE for what is malformed or doesn't fit the model
 */
export async function readRouting(
  { routing, routing_seed: seed }: ExpertwireConfig['experts'],
  shape: RoutingShape,
): Promise<RoutingSource | null> {
  try {
    if (!isRoutingText(routing)) return await recordedRouting(routing, shape, seed);
    const pattern = parseRoutingText(routing);
    if (pattern === null) return null;
    const source = syntheticRouting(pattern, shape, seed);
    source.choose(0, 0, new Uint16Array(shape.numLayers * shape.numTopk)); // its numbers are checked now, not in a step
    return source;
  } catch (cause) {
    const reason = causeText(cause).replace(/^(INVALID_ARGUMENT|BAD_RECORDING): /, '');
    const advice = cause instanceof ExpertError ? '' : `; allowed is ${ROUTING_ALLOWED}`;
    throw new ConfigError('INVALID_VALUE', `"experts.routing" is ${shown(routing)}: ${reason}${advice}`, {
      key: 'experts.routing',
      cause,
    });
  }
}
