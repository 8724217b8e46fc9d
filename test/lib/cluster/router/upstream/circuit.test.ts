import { expect } from 'chai';
import fc from 'fast-check';
import {
  afterEvent,
  CLOSED,
  isClosed,
  isDead,
  type Circuit,
  type CircuitEvent,
} from '../../../../../lib/cluster/router/upstream/circuit.js';

const LIMITS = { maxFailures: 3, openMs: 100 };

/** Events at times. */
const after = (...events: readonly (readonly [CircuitEvent, number])[]): Circuit =>
  events.reduce((circuit, [event, ms]) => afterEvent(circuit, event, ms, LIMITS), CLOSED);

describe('a circuit', () => {
  it('opens after so many failures in a row', () => {
    expect(isClosed(after(['failed', 0], ['failed', 1]))).to.equal(true);
    expect(isClosed(after(['failed', 0], ['failed', 1], ['failed', 2]))).to.equal(false);
    expect(isClosed(after(['failed', 0], ['failed', 1], ['answered', 2], ['failed', 3], ['failed', 4]))).to.equal(true);
  });

  it('opens for requests that fail although probes are answered', () => {
    const circuit = after(['failed', 0], ['probe_answered', 1], ['failed', 2], ['probe_answered', 3], ['failed', 4]);
    expect(isClosed(circuit)).to.equal(false);
  });

  it('is closed by a probe that is answered, and not before its time', () => {
    const open = [
      ['failed', 0],
      ['failed', 0],
      ['failed', 0],
    ] as const;
    expect(isClosed(after(...open, ['probe_answered', 99]))).to.equal(false);
    expect(isClosed(after(...open, ['answered', 200]))).to.equal(false);
    expect(after(...open, ['probe_answered', 100])).to.deep.equal(CLOSED);
  });

  it('opens at once where the instance says that it takes nothing, which doesn’t mean that it is dead', () => {
    const circuit = after(['probe_refused', 0], ['probe_refused', 10], ['probe_refused', 20], ['probe_refused', 30]);
    expect([isClosed(circuit), isDead(circuit, LIMITS)]).to.deep.equal([false, false]);
    expect(afterEvent(circuit, 'probe_answered', 31, LIMITS)).to.deep.equal(CLOSED); // it says otherwise
  });

  it('is dead after so many probes in a row that nobody answered', () => {
    const silent = [
      ['probe_silent', 0],
      ['probe_silent', 1],
      ['probe_silent', 2],
    ] as const;
    expect(isDead(after(...silent), LIMITS)).to.equal(true);
    expect(isClosed(after(...silent))).to.equal(false);
    expect(isDead(after(...silent, ['probe_refused', 3]), LIMITS)).to.equal(false);
    expect(isDead(after(['probe_silent', 0], ['probe_answered', 1], ...silent.slice(1)), LIMITS)).to.equal(false);
  });

  it('closes at a probe that is answered late enough, whatever happened before', () => {
    const events = fc.constantFrom<CircuitEvent>(
      'answered',
      'failed',
      'probe_answered',
      'probe_refused',
      'probe_silent',
    );
    fc.assert(
      fc.property(fc.array(events), (told) => {
        const circuit = after(...told.map((event, i) => [event, i] as const), ['probe_answered', 1000]);
        expect(isClosed(circuit)).to.equal(true);
        expect(isDead(circuit, LIMITS)).to.equal(false);
      }),
    );
  });
});
