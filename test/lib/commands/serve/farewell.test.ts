import { expect } from 'chai';
import { cutOff, finishing } from '../../../../lib/commands/serve/farewell.js';

describe('a server that ends says', () => {
  it('how many requests it finishes', () => {
    expect([1, 2].map(finishing)).to.deep.equal([
      'finishing 1 request; another signal ends at once',
      'finishing 2 requests; another signal ends at once',
    ]);
  });

  it('how many it cut off', () => {
    expect([1, 2].map(cutOff)).to.deep.equal([
      'warning: 1 request was still running after server.drain_timeout_ms, and was cut off',
      'warning: 2 requests were still running after server.drain_timeout_ms, and were cut off',
    ]);
  });
});
