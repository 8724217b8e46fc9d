/** Routing policies of plug-ins: what they choose is checked, and all of them are tried before a router starts. */
import { printable } from '../../base/foreign_text.js';
import type { Candidate } from '../cluster/base/instance_view.js';
import type { Choice, RoutedRequest, RoutingPolicy } from '../cluster/base/routed_request.js';
import { failed, given, kindOf, type Owner } from './calls.js';
import type { Registered } from './plugin_registry.js';

/** Of what clients read when they are refused. */
const MAX_REASON_CHARS = 1000;
const DAY_MS = 86_400_000;

/** The policy, tried once. @throws PluginError PLUGIN_FAILED, now or for a request: it throws, writes over what it sees, or chooses what can't be */
export function checkedRoutingPolicy(owner: Registered<RoutingPolicy>): RoutingPolicy {
  const policy: RoutingPolicy = (request, candidates) => {
    const where = `for request ${request.number}`;
    const own = [frozen({ ...request }), frozen([...candidates])] as const;
    const told: unknown = given(owner, where, () => owner.value(...own));
    const { kind, instance, reason, retryAfterMs } = given(owner, where, () => fieldsOf(told)); // getters are code of the plug-in
    if (kind === 'routed') return routed(owner, instance, candidates, where);
    if (kind !== 'rejected') {
      throw failed(
        owner,
        `gave ${kindOf(told)} ${where}; give { kind: 'routed', instance } or { kind: 'rejected', … }`,
      );
    }
    return rejected(owner, reason, retryAfterMs, where);
  };
  policy(TRIAL_REQUEST, TRIAL_CANDIDATES);
  return policy;
}

type Fields = Readonly<Record<'kind' | 'instance' | 'reason' | 'retryAfterMs', unknown>>;

function fieldsOf(told: unknown): Fields {
  const { kind, instance, reason, retryAfterMs } = (told ?? {}) as Fields;
  return { kind, instance, reason, retryAfterMs };
}

function routed(owner: Owner, instance: unknown, candidates: readonly Candidate[], where: string): Choice {
  const ids = candidates.map(({ record }) => record.id);
  if (typeof instance === 'string' && ids.includes(instance)) return { kind: 'routed', instance };
  throw failed(owner, `chose instance ${kindOf(instance)} ${where}; give the id of one of ${ids.join(', ')}`);
}

function rejected(owner: Owner, reason: unknown, retryAfterMs: unknown, where: string): Choice {
  if (typeof reason !== 'string' || reason.length === 0 || reason.length > MAX_REASON_CHARS) {
    const text = `gave the reason ${kindOf(reason)} ${where}; give a text of 1 to ${MAX_REASON_CHARS} characters for the client`;
    throw failed(owner, text);
  }
  if (typeof retryAfterMs !== 'number' || !(retryAfterMs >= 0 && retryAfterMs <= DAY_MS)) {
    throw failed(owner, `gave retryAfterMs ${kindOf(retryAfterMs)} ${where}; give a number from 0 to ${DAY_MS}`);
  }
  return { kind: 'rejected', reason: printable(reason), retryAfterMs };
}

/** What a plug-in sees is the router's, and stays as it is: what was frozen once isn't looked at again. */
function frozen<T extends object>(value: T): T {
  if (Object.isFrozen(value)) return value;
  for (const each of Object.values(value) as unknown[]) if (typeof each === 'object' && each !== null) frozen(each);
  return Object.freeze(value);
}

const trialCandidate = (id: string, numRequests: number, numCachedTokens: number): Candidate => ({
  record: {
    id,
    incarnation: id,
    url: `http://${id}.invalid`,
    kind: 'own',
    role: 'mixed',
    isDraining: false,
    model: 'trial',
    fingerprint: null,
    numRanks: 1,
    blockSize: 16,
    numKvBlocks: 1024,
    maxModelLen: 4096,
    sharing: null,
    isPooled: false,
  },
  isHealthy: true,
  numRequests,
  numPrefillTokens: 0,
  numActiveBlocks: 8 * numRequests,
  numHeavy: 0,
  numLight: numRequests,
  lastRouted: -1,
  rates: { prefillTokensPerS: null, tbtMs: null, requestsPerS: null, latencyMs: null },
  load: null,
  numCachedTokens,
  numFetchableTokens: 0,
  numAddedBlocks: 8,
});
/** As when a router begins: nothing was measured or reported. */
const TRIAL_CANDIDATES = [trialCandidate('trial-a', 0, 0), trialCandidate('trial-b', 3, 64)];
const TRIAL_REQUEST: RoutedRequest = {
  number: 0,
  leg: 'whole',
  numPromptTokens: 128,
  maxNewTokens: 64,
  priority: 0,
  predicted: { from: 64, to: 65 },
  sessionInstance: null,
};
