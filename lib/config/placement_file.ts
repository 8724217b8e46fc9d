/** `experts.placement`: a strategy's name, or a file that `expertwire plan` wrote; and `experts.num_redundant_experts`. */
import { readFile } from 'node:fs/promises';
import { causeText, textOf } from '../../base/foreign_text.js';
import {
  createPlacement,
  PLACEMENT_STRATEGIES,
  type Placement,
  type PlacementShape,
  type PlacementStrategy,
} from '../../experts/placement/placement.js';
import { mostOf } from '../../experts/placement/expert_counts.js';
import { placementFromJson, type PlacementJson } from '../../experts/placement/placement_json.js';
import { withRedundancy } from '../../experts/placement/redundancy.js';
import { ExpertError } from '../../compute/base/errors.js';
import { ConfigError } from './errors.js';
import type { ExpertwireConfig } from './schema.js';

/**
 * The placement that a checked configuration names.
 * @throws ConfigError INVALID_VALUE for a file that doesn't fit the job, and for redundant experts that don't fit the ranks or come with a file
 */
export async function readPlacement(
  { placement, num_redundant_experts: numRedundant }: PlacementConfig,
  shape: PlacementShape,
): Promise<Placement> {
  const wrong = (key: string, message: string, cause?: unknown): ConfigError =>
    new ConfigError('INVALID_VALUE', `"${key}": ${message}`, { key, cause });
  if (isStrategy(placement)) {
    try {
      return withRedundancy(createPlacement(placement, shape), numRedundant);
    } catch (cause) {
      throw wrong('experts.num_redundant_experts', reasonOf(cause), cause);
    }
  }
  if (numRedundant > 0) {
    const message = `${numRedundant} beside ${placement}, which says itself which experts are redundant; leave it out, or`;
    throw wrong(
      'experts.num_redundant_experts',
      `${message} plan with --slots ${mostOf(shape.numExperts) + numRedundant}`,
    );
  }
  return readPlacementFile(placement, shape, (message, cause) => {
    throw wrong('experts.placement', message, cause);
  });
}

type PlacementConfig = Pick<ExpertwireConfig['experts'], 'placement' | 'num_redundant_experts'>;

/** A placement from a file, replicas and all; `fail` throws what is wrong with it. */
export async function readPlacementFile(
  file: string,
  shape: PlacementShape,
  fail: (message: string, cause: unknown) => never,
): Promise<Placement> {
  try {
    return placementFromJson(JSON.parse(textOf(await readFile(file))), shape);
  } catch (cause) {
    return fail(`${file} can't be used: ${reasonOf(cause)}`, cause);
  }
}

/** Into how many slices each expert is divided that a file places, of layers with so many experts; null: no file, or none that fits them, which reading it tells. */
export async function slicesInFile(placement: string, numExperts: readonly number[]): Promise<number | null> {
  if (isStrategy(placement)) return null;
  try {
    const { phy2log } = JSON.parse(textOf(await readFile(placement))) as PlacementJson;
    const numHeld = phy2log.map((table) => 1 + Math.max(...table));
    const slices = numHeld[0]! / numExperts[0]!;
    const isWhole = Number.isSafeInteger(slices) && slices > 0 && numHeld.length === numExperts.length;
    return isWhole && numHeld.every((count, layer) => count === slices * numExperts[layer]!) ? slices : null;
  } catch {
    return null;
  }
}

const reasonOf = (cause: unknown): string =>
  cause instanceof ExpertError && cause.code === 'INVALID_ARGUMENT' ? causeText(cause.text) : causeText(cause);

const isStrategy = (value: string): value is PlacementStrategy =>
  (PLACEMENT_STRATEGIES as readonly string[]).includes(value);
