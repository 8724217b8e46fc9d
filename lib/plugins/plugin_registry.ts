/** What plug-ins brought to one process, by kind and name. */
import type { WireCodec } from '../../comm/codec/wire_codec.js';
import { shown } from '../../base/foreign_text.js';
import type { RoutingPolicy } from '../cluster/base/routed_request.js';
import type { TierPolicy } from '../../experts/tiers/tier_policy.js';
import type { CustomGate } from '../../experts/routing/custom_gate.js';
import { PLUGIN_NAMES, type BroughtNames, type PluginKind } from '../config/plugin_names.js';
import { PluginError, type Brought } from './errors.js';
import type { Plugin, PluginApi } from './plugin.js';

/** Something that a plug-in registered. */
export interface Registered<T> {
  /** The path of the plug-in's module. */
  readonly plugin: string;
  readonly brought: Brought;
  readonly value: T;
}

type MakesPlan = Parameters<PluginApi['registerPlanner']>[1];
type MakesChooser = Parameters<PluginApi['registerReplicaChoice']>[1];
/** What a family is to its plug-in. */
export type MakesSpec = Parameters<PluginApi['registerFamily']>[1];

/** Names that are there without plug-ins; those of families stand in the registry of families, which only the head loads. */
const TAKEN: Readonly<Record<Brought['kind'], readonly string[]>> = {
  gate: PLUGIN_NAMES['experts.gate'].builtIn,
  planner: PLUGIN_NAMES['load_balance.planner'].builtIn,
  'replica choice': PLUGIN_NAMES['experts.replica_choice'].builtIn,
  'tier policy': PLUGIN_NAMES['experts.tier_policy'].builtIn,
  codec: PLUGIN_NAMES['comm.wire.dispatch'].builtIn,
  'routing policy': PLUGIN_NAMES['router.decode_policy'].builtIn,
  family: [],
};

/** Filled while plug-ins load. */
export class PluginRegistry {
  /** By `model_type`. */
  readonly families: ReadonlyMap<string, Registered<MakesSpec>> = new Map();
  readonly gates: ReadonlyMap<string, Registered<CustomGate>> = new Map();
  readonly planners: ReadonlyMap<string, Registered<MakesPlan>> = new Map();
  readonly replicaChoices: ReadonlyMap<string, Registered<MakesChooser>> = new Map();
  readonly tierPolicies: ReadonlyMap<string, Registered<TierPolicy>> = new Map();
  readonly codecs: ReadonlyMap<string, Registered<WireCodec>> = new Map();
  readonly routingPolicies: ReadonlyMap<string, Registered<RoutingPolicy>> = new Map();

  /** The names that a configuration may choose; empty where nothing was brought. */
  get names(): BroughtNames {
    const kinds: readonly (readonly [PluginKind, ReadonlyMap<string, unknown>])[] = [
      ['gate', this.gates],
      ['planner', this.planners],
      ['replica choice', this.replicaChoices],
      ['tier policy', this.tierPolicies],
      ['codec', this.codecs],
      ['routing policy', this.routingPolicies],
    ];
    return new Map(kinds.map(([kind, brought]) => [kind, [...brought.keys()]]));
  }

  /**
   * Calls a plug-in's function with what it registers by.
   * @throws PluginError INVALID_PLUGIN: what it registered can't be; and whatever the function throws
   */
  async fill(plugin: string, register: Plugin, options: Readonly<Record<string, unknown>>): Promise<void> {
    let isOpen = true;
    const add = <T>(kind: Brought['kind'], into: ReadonlyMap<string, Registered<T>>, name: unknown, value: T): void => {
      checkName(plugin, kind, name, into);
      const brought = { kind, name };
      if (!isOpen)
        throw invalid(
          plugin,
          brought,
          'came after its function had ended; register all before it returns, or return a promise',
        );
      checkValue(plugin, brought, value);
      (into as Map<string, Registered<T>>).set(name, { plugin, brought, value });
    };
    const api: PluginApi = {
      registerFamily: (name, specOf) => add('family', this.families, name, specOf),
      registerGate: (name, gate) => add('gate', this.gates, name, gate),
      registerPlanner: (name, fill) => add('planner', this.planners, name, fill),
      registerReplicaChoice: (name, make) => add('replica choice', this.replicaChoices, name, make),
      registerTierPolicy: (name, policy) => add('tier policy', this.tierPolicies, name, policy),
      registerCodec: (name, codec) => add('codec', this.codecs, name, codec),
      registerRoutingPolicy: (name, policy) => add('routing policy', this.routingPolicies, name, policy),
    };
    try {
      await register(Object.freeze(api), options);
    } finally {
      isOpen = false;
    }
  }
}

function checkName(
  plugin: string,
  kind: Brought['kind'],
  name: unknown,
  into: ReadonlyMap<string, Registered<unknown>>,
): asserts name is string {
  if (typeof name !== 'string' || !/^[\w.:-]{1,64}$/.test(name)) {
    const text = `registers a ${kind} under ${shown(name)}; give a name of letters, digits and _ . : -, at most 64`;
    throw new PluginError('INVALID_PLUGIN', text, { plugin });
  }
  const brought = { kind, name };
  if (TAKEN[kind].includes(name)) throw invalid(plugin, brought, `is there without plug-ins; choose another name`);
  const other = into.get(name);
  if (other !== undefined)
    throw invalid(plugin, brought, `was registered by ${other.plugin} already; choose another name`);
}

/** What each kind of thing is. */
const FUNCTIONS: Readonly<Record<Brought['kind'], readonly string[] | null>> = {
  family: null,
  planner: null,
  'replica choice': null,
  'tier policy': null,
  'routing policy': null,
  gate: ['route'],
  codec: ['rowBytes', 'encode', 'decode'],
};

/** A function, or an object with functions. */
function checkValue(plugin: string, brought: Brought, value: unknown): void {
  const names = FUNCTIONS[brought.kind];
  if (names === null) {
    if (typeof value !== 'function') throw invalid(plugin, brought, `is ${shown(value)}; give a function`);
    return;
  }
  if (typeof value !== 'object' || value === null) {
    throw invalid(plugin, brought, `is ${shown(value)}; give an object with ${names.join(', ')}`);
  }
  const missing = names.find((name) => typeof (value as Record<string, unknown>)[name] !== 'function');
  if (missing !== undefined)
    throw invalid(plugin, brought, `has no function ${missing}; give an object with ${names.join(', ')}`);
  if (brought.kind === 'gate') checkGate(plugin, brought, value as Record<string, unknown>);
}

function checkGate(plugin: string, brought: Brought, { dependsOn, numTopk }: Record<string, unknown>): void {
  if (dependsOn !== undefined && dependsOn !== 'token' && dependsOn !== 'batch') {
    throw invalid(plugin, brought, `has dependsOn ${shown(dependsOn)}; give 'token' or 'batch', or leave it out`);
  }
  if (numTopk !== undefined && typeof numTopk !== 'function') {
    throw invalid(
      plugin,
      brought,
      `has numTopk ${shown(numTopk)}; give a function of the model's gate, or leave it out`,
    );
  }
}

const invalid = (plugin: string, brought: Brought, text: string): PluginError =>
  new PluginError('INVALID_PLUGIN', text, { plugin, brought });
