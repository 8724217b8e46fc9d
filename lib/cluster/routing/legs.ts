/** Which instances a request needs, and by which roles they are asked. Pure. Why: docs/decisions/cluster.md#roles-are-wishes */
import type { Candidate } from '../base/instance_view.js';
import type { Role } from '../../config/cluster_schema.js';
import type { Rejection, RouteLeg, RoutedRequest, RoutingPolicy } from '../base/routed_request.js';
import { numTokensToCompute } from './policies/least.js';

/** What becomes of a request: one instance computes it, or one its prompt and another one what comes behind. */
export type Route =
  | { readonly kind: 'whole'; readonly instance: string }
  | { readonly kind: 'apart'; readonly prefill: string; readonly decode: string }
  | Rejection;

/** How legs are chosen. */
export interface LegOptions {
  readonly policy: RoutingPolicy;
  /** Prompts of which an instance that generates lacks no more than so many tokens stay in one piece. */
  readonly localPrefillTokens: number;
}

/** The request's own leg is what a policy is asked about whole requests with. */
export function legsOf(request: RoutedRequest, candidates: readonly Candidate[], options: LegOptions): Route {
  const { policy, localPrefillTokens } = options;
  const [mixed, prefill, decode] = (['mixed', 'prefill', 'decode'] as const).map((role) => ofRole(candidates, role));
  const generating = byId([...mixed!, ...decode!]);
  const whole = (among: readonly Candidate[]): Route => wholeOf(policy(request, among));
  // 1. Where nothing is apart, or only one kind is left, one instance does all of it.
  if (prefill!.length === 0 || generating.length === 0) return whole(mixed!.length > 0 ? mixed! : candidates);
  // 2. What is nearly all cached isn't worth the way.
  const near = generating.filter((each) => numTokensToCompute(request, each) <= localPrefillTokens);
  if (near.length > 0) return whole(near);
  // 3. The prompt.
  const ask = (leg: RouteLeg, among: readonly Candidate[]) => policy({ ...request, leg }, among);
  const first = ask('prefill', byId([...prefill!, ...mixed!]));
  if (first.kind === 'rejected') return first;
  const chosen = candidates.find(({ record }) => record.id === first.instance)!;
  if (chosen.record.role === 'mixed') return whole([chosen]);
  // 4. What comes behind it, if anything does, and if somebody's keys and values mean the same.
  const { fingerprint, kind } = chosen.record;
  const alike = generating.filter(({ record }) => record.fingerprint === fingerprint && record.kind === kind);
  if (request.maxNewTokens <= 1 || alike.length === 0) return { kind: 'whole', instance: first.instance };
  const second = ask('decode', alike);
  return second.kind === 'rejected' ? second : { kind: 'apart', prefill: first.instance, decode: second.instance };
}

/** Where a request goes on behind its prompt: to an instance that generates, if there is one. */
export function decodeLegOf(request: RoutedRequest, candidates: readonly Candidate[], { policy }: LegOptions): Route {
  const generating = candidates.filter(({ record }) => record.role !== 'prefill');
  return wholeOf(policy({ ...request, leg: 'decode' }, generating.length > 0 ? generating : candidates));
}

const wholeOf = (choice: ReturnType<RoutingPolicy>): Route =>
  choice.kind === 'rejected' ? choice : { kind: 'whole', instance: choice.instance };

const ofRole = (candidates: readonly Candidate[], role: Role): readonly Candidate[] =>
  candidates.filter(({ record }) => record.role === role);

const byId = (candidates: readonly Candidate[]): readonly Candidate[] =>
  candidates.toSorted((a, b) => compareIds(a.record.id, b.record.id));

/** The order of candidates: of their characters' numbers, the same everywhere. */
export const compareIds = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
