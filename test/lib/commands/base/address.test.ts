import { expect } from 'chai';
import fc from 'fast-check';
import { formatAddress, parseAddress } from '../../../../lib/commands/base/address.js';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { errorOf } from '../../../kit/rejects.js';

describe('address', () => {
  it('reads names, IPv4 and bracketed IPv6', () => {
    expect(parseAddress('10.0.0.1:7000')).to.deep.equal({ host: '10.0.0.1', port: 7000 });
    expect(parseAddress('node-3.example:0')).to.deep.equal({ host: 'node-3.example', port: 0 });
    expect(parseAddress('[::1]:65535')).to.deep.equal({ host: '::1', port: 65535 });
  });

  it('refuses what is not HOST:PORT with an example', async () => {
    for (const text of [
      '',
      '7000',
      ':7000',
      'host',
      'host:',
      'host:7000x',
      'host:-1',
      'host:65536',
      '::1:7000',
      '[::1]',
      '[]:1',
    ]) {
      const error = await errorOf(UsageError, () => parseAddress(text));
      expect(error.message).to.contain(`'${text}'`).and.contain('10.0.0.1:7000');
    }
  });

  it('formatting is the way back', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), fc.nat(65535), (host, port) => {
        expect(parseAddress(formatAddress({ host, port }))).to.deep.equal({ host, port });
      }),
    );
  });
});
