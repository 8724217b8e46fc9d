/** Gates of plug-ins: what head and ranks agree on about one. Why: docs/decisions/plugins.md#a-gates-number-of-choices-is-the-models */
import { countsText } from '../../experts/placement/expert_counts.js';
import { shown } from '../../base/foreign_text.js';
import type { GateSpec, Routing } from '../../compute/base/gate_spec.js';
import { routeBy, type CustomGate, type GateChoice } from '../../experts/routing/custom_gate.js';
import { ConfigError } from '../config/errors.js';
import { OWN_GATE } from '../config/plugin_names.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { expertCountsOf, type ModelSpec } from '../model/spec/spec.js';
import { failed, given, kindOf } from './calls.js';
import { checkedGate } from './checked_gate.js';
import { PluginError } from './errors.js';
import { checkAlone, checkTrial, differs, trialBatch } from './gate_trial.js';
import type { PluginRegistry, Registered } from './plugin_registry.js';

/** The gate of a job, as every rank is told of it. */
export interface JobGate {
  readonly name: string;
  /** Choices per token of the model's own gate; those of this one stand in the job's spec. */
  readonly ownTopk: number;
  readonly dependsOn: 'token' | 'batch';
  /** What it chose on the head for tokens that are the same everywhere; null where it depends on more than its token. */
  readonly trial: Routing | null;
}

/** The gate that a configuration names, tried, and the spec with as many choices per token as it makes. */
export interface OpenedGate {
  readonly spec: ModelSpec;
  /** Null: the model's own. */
  readonly gate: JobGate | null;
}

/**
 * Tries the gate on the head, so that most mistakes are told before a rank starts.
 * @throws ConfigError INVALID_VALUE for what doesn't go with a gate; PluginError PLUGIN_FAILED
 */
export function openGate(
  config: ExpertwireConfig,
  { gates }: Pick<PluginRegistry, 'gates'>,
  spec: ModelSpec,
): OpenedGate {
  const { gate: name } = config.experts;
  if (name === OWN_GATE) return { spec, gate: null };
  const owner = gates.get(name)!; // names were checked
  checkAlike(spec);
  const dependsOn = owner.value.dependsOn ?? 'token';
  checkBeside(config, dependsOn);
  const own = spec.moe.gate;
  const numTopk = numTopkOf(owner, own);
  const choice = { gate: checkedGate(owner), spec: frozen(own), numTopk, rank: 0 };
  const trial = routeBy(choice, trialBatch(own.numExperts));
  if (dependsOn === 'token') checkAlone(owner, choice, trial);
  const gate = { name, ownTopk: own.numTopk, dependsOn, trial: dependsOn === 'token' ? trial : null };
  return { spec: { ...spec, moe: { ...spec.moe, gate: { ...own, numTopk } } }, gate };
}

/** @throws ConfigError INVALID_VALUE: it would be shown logits of another number of experts than it was tried with */
function checkAlike(spec: ModelSpec): void {
  const counts = expertCountsOf(spec);
  if (counts.every((count) => count === counts[0])) return;
  const what = `"experts.gate" is a plug-in's, and the model's layers have ${countsText(counts)} experts; such a gate chooses where all have as many`;
  throw new ConfigError('INVALID_VALUE', what, { key: 'experts.gate' });
}

/**
 * A rank's, which chooses what the head's does.
 * @throws PluginError PLUGINS_DIFFER where it doesn't; PLUGIN_FAILED
 */
export function rankGate(
  { name, ownTopk, trial: heads }: JobGate,
  { gates }: Pick<PluginRegistry, 'gates'>,
  { moe }: ModelSpec,
  rank: number,
): GateChoice {
  const owner = gates.get(name);
  if (owner === undefined) throw notHere(name);
  const spec = { ...moe.gate, numTopk: ownTopk };
  const numTopk = numTopkOf(owner, spec);
  if (numTopk !== moe.gate.numTopk) {
    throw differs(owner, `makes ${numTopk} choices per token on rank ${rank} and ${moe.gate.numTopk} on the head`);
  }
  const choice = { gate: checkedGate(owner), spec: frozen(spec), numTopk, rank };
  if (heads !== null) checkTrial(owner, heads, routeBy(choice, trialBatch(spec.numExperts)), { numTopk, rank });
  return choice;
}

/** @throws ConfigError INVALID_VALUE */
function checkBeside({ experts, engine }: ExpertwireConfig, dependsOn: 'token' | 'batch'): void {
  const { gate, routing } = experts;
  const wrong = (key: string, text: string): ConfigError =>
    new ConfigError('INVALID_VALUE', `"${key}" is ${text}`, { key });
  if (routing !== 'gate') {
    throw wrong(
      'experts.routing',
      `${shown(routing)}, which chooses instead of gates, beside "experts.gate" ${gate}; leave one of them out`,
    );
  }
  if (dependsOn === 'batch' && engine.prefix_cache === 'exact') {
    throw wrong(
      'engine.prefix_cache',
      `exact, but what the gate ${gate} chooses depends on the batch; set it to auto, any or off`,
    );
  }
}

/** A copy that nobody can write over: gates see it in every layer. */
function frozen(spec: GateSpec): GateSpec {
  const copy = structuredClone(spec);
  for (const part of [copy.groups, copy.scoring, copy]) Object.freeze(part);
  return copy;
}

function numTopkOf(owner: Registered<CustomGate>, spec: GateSpec): number {
  const { value: gate } = owner;
  if (gate.numTopk === undefined) return spec.numTopk;
  const numTopk: unknown = given(owner, 'in numTopk', () => gate.numTopk!(structuredClone(spec)));
  if (Number.isInteger(numTopk) && (numTopk as number) >= 1 && (numTopk as number) <= spec.numExperts)
    return numTopk as number;
  throw failed(
    owner,
    `gave ${kindOf(numTopk)} as numTopk; give a whole number from 1 to ${spec.numExperts}, the model's experts`,
  );
}

const notHere = (name: string): PluginError =>
  new PluginError('PLUGINS_DIFFER', `no plug-in brought it here; what it registers must be the same everywhere`, {
    plugin: 'of the job',
    brought: { kind: 'gate', name },
  });
