import { expect } from 'chai';
import { ConfigError } from '../../../../lib/config/errors.js';
import { DEFAULTS } from '../../../../lib/config/schema.js';
import { checkLink, limitsOf, linkSchema, type Link } from '../../../../lib/experiment/measures/link.js';

describe('workload.link', () => {
  const parsed = (value: unknown): Link => linkSchema().parse(value);

  it('is no link unless it is given, and no limit but for those that are', () => {
    expect(limitsOf(parsed(undefined))).to.equal(null);
    expect(limitsOf(parsed({}))).to.deep.equal({ delayMs: 0, bytesPerSecond: null });
    const limits = limitsOf(parsed({ delay_ms: 5, gbit_per_s: 0.1 }));
    expect(limits).to.deep.equal({ delayMs: 5, bytesPerSecond: 12_500_000 });
  });

  it('refuses what no link has', () => {
    for (const value of [{ delay_ms: -1 }, { gbit_per_s: 0 }, { delay: 1 }, 5]) {
      expect(linkSchema().safeParse(value).success, JSON.stringify(value)).to.equal(false);
    }
  });

  it('refuses ranks that nothing can stand between, and a delay after which they give each other up', () => {
    const { comm } = DEFAULTS;
    const link = parsed({ delay_ms: 100 });
    const check = (change: Partial<typeof comm>) => () => checkLink({ comm: { ...comm, ...change } }, link);
    check({})();
    expect(check({ transport: 'threads' })).to.throw(ConfigError, /set it to ws/);
    expect(check({ tls: { cert: 'a', key: 'b', ca: 'c' } })).to.throw(ConfigError, /TLS/);
    expect(check({ timeout_ms: 200 })).to.throw(ConfigError, /100 ms each way.*200/);
    checkLink({ comm: { ...comm, transport: 'threads' } }, null);
  });
});
