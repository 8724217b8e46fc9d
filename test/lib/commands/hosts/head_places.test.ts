import { expect } from 'chai';
import { headPlaces, type HeadPlaceQuestion } from '../../../../lib/commands/hosts/head_places.js';

const places = (question: Partial<HeadPlaceQuestion>): unknown =>
  headPlaces({ reached: ['10.0.0.1'], port: 4000, ownAddresses: ['10.0.0.1', '10.1.0.1', 'fd00::1'], ...question });

describe('the place of a head whose ranks are started on hosts', () => {
  it('is the address that all hosts see, and a free port', () => {
    expect(places({ reached: ['10.0.0.1', '10.0.0.1'] })).to.deep.equal({
      listen: '10.0.0.1:4000',
      heads: ['10.0.0.1:4000', '10.0.0.1:4000'],
    });
  });

  it('is every address where hosts see several, each its own', () => {
    expect(places({ reached: ['10.0.0.1', '10.1.0.1'] })).to.deep.equal({
      listen: '0.0.0.0:4000',
      advertise: '10.0.0.1',
      heads: ['10.0.0.1:4000', '10.1.0.1:4000'],
    });
  });

  it('is every address of both families where hosts see both', () => {
    expect(places({ reached: ['10.0.0.1', 'fd00::1'] })).to.deep.equal({
      listen: '[::]:4000',
      advertise: '10.0.0.1',
      heads: ['10.0.0.1:4000', '[fd00::1]:4000'],
    });
  });

  it('is IPv6 with brackets', () => {
    expect(places({ reached: ['fd00::1'] })).to.deep.equal({ listen: '[fd00::1]:4000', heads: ['[fd00::1]:4000'] });
  });

  it('is the one that is given', () => {
    expect(places({ listen: { host: '10.1.0.1', port: 7077 } })).to.deep.equal({
      listen: '10.1.0.1:7077',
      heads: ['10.1.0.1:7077'],
    });
  });

  it('is where each host sees it when all addresses are listened at', () => {
    expect(places({ listen: { host: '0.0.0.0', port: 7077 } })).to.deep.equal({
      listen: '0.0.0.0:7077',
      advertise: '10.0.0.1',
      heads: ['10.0.0.1:7077'],
    });
  });

  it('is told as advertised: listened at where it is of this machine', () => {
    expect(places({ advertise: '10.1.0.1' })).to.deep.equal({
      listen: '10.1.0.1:4000',
      advertise: '10.1.0.1',
      heads: ['10.1.0.1:4000'],
    });
  });

  it('and everywhere where it is a name, or of a machine that passes connections on', () => {
    expect(places({ advertise: 'gate.example', reached: ['10.0.0.1', '10.1.0.1'] })).to.deep.equal({
      listen: '0.0.0.0:4000',
      advertise: 'gate.example',
      heads: ['gate.example:4000', 'gate.example:4000'],
    });
  });
});
