import { expect } from 'chai';
import fc from 'fast-check';
import type { InstanceRecord } from '../../../../lib/cluster/base/instance_record.js';
import type { Candidate } from '../../../../lib/cluster/base/instance_view.js';
import { decodeLegOf, legsOf, type Route } from '../../../../lib/cluster/routing/legs.js';
import { kv } from '../../../../lib/cluster/routing/policies/kv.js';
import { leastLoad } from '../../../../lib/cluster/routing/policies/plain.js';
import { slo } from '../../../../lib/cluster/routing/policies/slo.js';
import { RoutingTable } from '../../../../lib/cluster/routing/routing_table.js';
import { ROLES, type Role } from '../../../../lib/config/cluster_schema.js';
import { askedOf, candidateOf, recordOf, requestOf } from '../../../kit/cluster/views.js';

const OPTIONS = { policy: leastLoad, localPrefillTokens: 0, replication: null };

const told = (route: Route): string =>
  route.kind === 'apart'
    ? `${route.prefill} → ${route.decode}`
    : route.kind === 'whole'
      ? route.instance
      : route.reason;
const ofRole = (id: string, role: Role, changes: Omit<Candidate, 'record'> | object = {}, record: Partial<InstanceRecord> = {}): Candidate => candidateOf(id, { ...changes, record: { role, ...record } }); // prettier-ignore

describe('legsOf', () => {
  it('has prompts computed where that is the role, and goes on where tokens are generated', () => {
    const apart = [ofRole('d', 'decode'), ofRole('p', 'prefill')];
    expect(told(legsOf(requestOf(), apart, OPTIONS))).to.equal('p → d');
    expect(told(legsOf(requestOf({ maxNewTokens: 1 }), apart, OPTIONS)), 'one token needs nobody else').to.equal('p');
  });

  it('lets a mixed one have all of a request whose prompt it wins', () => {
    const all = [ofRole('d', 'decode'), ofRole('m', 'mixed', { numRequests: 1 }), ofRole('p', 'prefill')];
    expect(told(legsOf(requestOf(), all, OPTIONS))).to.equal('p → d');
    const busy = [...all.slice(0, 2), ofRole('p', 'prefill', { numRequests: 2 })];
    expect(told(legsOf(requestOf(), busy, OPTIONS))).to.equal('m');
  });

  it('leaves a prompt in one piece that is nearly cached where tokens are generated', () => {
    const apart = [ofRole('d', 'decode', { numCachedTokens: 32 }), ofRole('e', 'decode'), ofRole('p', 'prefill')];
    expect(told(legsOf(requestOf(), apart, { ...OPTIONS, localPrefillTokens: 8 }))).to.equal('d');
    expect(told(legsOf(requestOf(), apart, { ...OPTIONS, localPrefillTokens: 7 }))).to.equal('p → d');
  });

  it('goes on without a role of which nobody is left', () => {
    expect(told(legsOf(requestOf(), [ofRole('d', 'decode')], OPTIONS))).to.equal('d');
    expect(told(legsOf(requestOf(), [ofRole('p', 'prefill')], OPTIONS))).to.equal('p');
    expect(told(legsOf(requestOf(), [ofRole('m', 'mixed', { numRequests: 9 }), ofRole('p', 'prefill')], OPTIONS))).to.equal('p → m'); // prettier-ignore
  });

  it('hands nothing to weights that are others, or to servers of another kind', () => {
    const others = [ofRole('d', 'decode', {}, { fingerprint: 'g' }), ofRole('p', 'prefill')];
    expect(told(legsOf(requestOf(), others, OPTIONS))).to.equal('p');
    const foreign = [ofRole('d', 'decode', {}, { kind: 'foreign', fingerprint: 'f' }), ofRole('p', 'prefill')];
    expect(told(legsOf(requestOf(), foreign, OPTIONS))).to.equal('p');
    const alike = [
      ofRole('d', 'decode', {}, { kind: 'foreign', fingerprint: null }),
      ofRole('p', 'prefill', {}, { kind: 'foreign', fingerprint: null }),
    ];
    expect(told(legsOf(requestOf(), alike, OPTIONS))).to.equal('p → d');
  });

  it('refuses before the prompt is computed, if what is behind it would come too late', () => {
    const rates = { prefillTokensPerS: 1000, tbtMs: 80, requestsPerS: null, latencyMs: null };
    const apart = [ofRole('d', 'decode', { rates, numRequests: 1 }), ofRole('p', 'prefill', { rates, numRequests: 1 })];
    const limited = (ttftMs: number, tbtMs: number) => ({ ...OPTIONS, policy: slo({ ttftMs, tbtMs }) });
    expect(told(legsOf(requestOf(), apart, limited(40, 80)))).to.equal('p → d');
    expect(told(legsOf(requestOf(), apart, limited(40, 79)))).to.match(/^its tokens would be apart by 80 ms/);
    expect(told(legsOf(requestOf(), apart, limited(39, 80)))).to.match(/^its first token would come after 40 ms/);
  });

  it('goes on behind a prompt where tokens are generated, if anybody does', () => {
    const all = [
      ofRole('d', 'decode', { numRequests: 2 }),
      ofRole('m', 'mixed', { numRequests: 1 }),
      ofRole('p', 'prefill'),
    ];
    expect(told(decodeLegOf(requestOf(), all, OPTIONS))).to.equal('m');
    expect(told(decodeLegOf(requestOf(), all.slice(2), OPTIONS))).to.equal('p');
  });

  const anyRecord = fc.record({
    role: fc.constantFrom(...ROLES),
    isDraining: fc.boolean(),
    model: fc.constantFrom('m', 'm', 'n'),
    fingerprint: fc.constantFrom('f', 'f', 'g'),
    kind: fc.constantFrom('own' as const, 'own' as const, 'foreign' as const),
    isHealthy: fc.boolean(),
    isExcepted: fc.boolean(),
  });

  it('never sends to who fails, drains, has another model or failed the request; nor a leg to a role that isn’t for it, where one is', () => {
    const property = fc.property(
      fc.array(anyRecord, { minLength: 1, maxLength: 6 }),
      fc.constantFrom('whole' as const, 'decode' as const),
      fc.constantFrom(null, 'f'),
      (records, leg, fingerprint) => {
        const table = new RoutingTable({ ...OPTIONS, policy: kv(), usesEvents: true, ttlMs: 1, maxBlocks: 10, lengthBuckets: [64], sessions: { ttlMs: 1, maxSessions: 1 } }); // prettier-ignore
        for (const [i, { isHealthy, role, isDraining, model, fingerprint: weights, kind }] of records.entries()) {
          table.join(recordOf(String(i), { role, isDraining, model, fingerprint: weights, kind }));
          table.setHealthy(String(i), isHealthy);
        }
        const except = new Set(records.flatMap(({ isExcepted }, i) => (isExcepted ? [String(i)] : [])));
        const able = records.filter((each) => {
          const isThere = each.isHealthy && !each.isDraining && !each.isExcepted && each.model === 'm';
          return isThere && (fingerprint === null || each.fingerprint === fingerprint);
        });
        const route = (): Route => table.route(askedOf([1, 2, 3], { except, fingerprint }), 0, leg);
        if (able.length === 0) return void expect(route).to.throw('NO_INSTANCE');
        const has = (...roles: readonly Role[]): boolean => able.some(({ role }) => roles.includes(role));
        const taken = route();
        if (taken.kind === 'rejected') return expect.fail(taken.reason);
        const of = (id: string) => records[Number(id)]!;
        const all = taken.kind === 'whole' ? [taken.instance] : [taken.prefill, taken.decode];
        for (const id of all) expect(able).to.include(of(id));
        if (taken.kind === 'whole') {
          if (leg === 'decode' && has('mixed', 'decode')) expect(of(taken.instance).role).to.not.equal('prefill');
          if (leg === 'whole' && has('mixed') && !has('prefill')) expect(of(taken.instance).role).to.equal('mixed');
          return;
        }
        expect([of(taken.prefill).role, of(taken.decode).role === 'prefill']).to.deep.equal(['prefill', false]);
        expect(of(taken.decode)).to.include({
          fingerprint: of(taken.prefill).fingerprint,
          kind: of(taken.prefill).kind,
        });
      },
    );
    fc.assert(property, { numRuns: 500 });
  });
});
