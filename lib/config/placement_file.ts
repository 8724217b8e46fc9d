/** `experts.placement`: a strategy's name, or a file that `expertwire plan` wrote. */
import { readFile } from 'node:fs/promises';
import {
  createPlacement,
  PLACEMENT_STRATEGIES,
  type Placement,
  type PlacementShape,
  type PlacementStrategy,
} from '../../experts/placement.js';
import { placementFromJson } from '../../experts/placement_json.js';
import { ConfigError } from './errors.js';

/**
 * The placement that a checked configuration names.
 * @throws ConfigError INVALID_VALUE for a file that doesn't fit the job, and for redundant replicas, which the engine doesn't choose between yet
 */
export async function readPlacement(value: string, shape: PlacementShape): Promise<Placement> {
  if (isStrategy(value)) return createPlacement(value, shape);
  const placement = await readPlacementFile(value, shape, (message, cause) => {
    throw new ConfigError('INVALID_VALUE', `"experts.placement": ${message}`, { key: 'experts.placement', cause });
  });
  const moeLayer = placement.logcnt.findIndex((counts) => counts.some((count) => count > 1));
  if (moeLayer < 0) return placement;
  const logical = placement.logcnt[moeLayer]!.findIndex((count) => count > 1);
  throw new ConfigError(
    'INVALID_VALUE',
    `"experts.placement": ${value} has ${placement.logcnt[moeLayer]![logical]!} replicas of expert ${logical} in MoE layer ` +
      `${moeLayer}, and the engine serves one per expert; plan with --slots ${shape.numExperts}`,
    { key: 'experts.placement' },
  );
}

/** A placement from a file, replicas and all; `fail` throws what is wrong with it. */
export async function readPlacementFile(
  file: string,
  shape: PlacementShape,
  fail: (message: string, cause: unknown) => never,
): Promise<Placement> {
  try {
    return placementFromJson(JSON.parse(await readFile(file, 'utf8')), shape);
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).replace('INVALID_ARGUMENT: ', '');
    return fail(`${file} can't be used: ${reason}`, cause);
  }
}

const isStrategy = (value: string): value is PlacementStrategy =>
  (PLACEMENT_STRATEGIES as readonly string[]).includes(value);
