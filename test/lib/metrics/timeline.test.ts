import { expect } from 'chai';
import { asRank } from '../../../base/ids.js';
import { overlapOf, Timeline, type TimelineEvent } from '../../../lib/metrics/timeline.js';

const event = (name: string, track: TimelineEvent['track'], startUs: number, endUs: number): TimelineEvent => ({
  ...{ name, track, startUs, step: 1 },
  durationUs: endUs - startUs,
});

describe('a timeline', () => {
  it('turns laps into compute and flights into bytes, on one clock in microseconds', () => {
    const timeline = new Timeline();
    timeline.step = 7;
    timeline.onLap('experts', { layer: 2 }, 10, 12);
    const tag = { step: 7, layer: 3, microBatch: 1, epoch: 0 };
    timeline.onSpan({ phase: 'combine', part: 'flight', tag, startMs: 11, endMs: 15 });
    timeline.onSpan({ phase: 'combine', part: 'unpack', tag, startMs: 15, endMs: 16 });
    const [experts, flight, unpack] = timeline.take();
    expect([experts!.name, experts!.track, experts!.step, experts!.layer]).to.deep.equal(['experts', 'compute', 7, 2]);
    expect([flight!.name, flight!.track, flight!.microBatch]).to.deep.equal(['combine flight', 'bytes', 1]);
    expect(unpack!.track).to.equal('rows');
    expect(experts!.durationUs).to.be.closeTo(2000, 1);
    expect(flight!.startUs - experts!.startUs).to.be.closeTo(1000, 1);
    expect(Math.abs(experts!.startUs - 1000 * (performance.timeOrigin + 10))).to.be.below(1);
    expect(timeline.take()).to.deep.equal([]);
  });

  it('knows which frames left in a pack, and when each came in a flight', () => {
    const timeline = new Timeline();
    const tag = { step: 1, layer: 0, microBatch: 0, epoch: 0 };
    const frame = { peer: asRank(2), numRows: 3, bytes: 100 };
    timeline.onSpan({ phase: 'dispatch', part: 'pack', tag, startMs: 1, endMs: 2, sent: [frame] });
    const received = [{ ...frame, arrivedMs: 3 }];
    timeline.onSpan({ phase: 'dispatch', part: 'flight', tag, startMs: 2, endMs: 3, received });
    const [pack, flight] = timeline.take();
    expect(pack!.sent).to.deep.equal([{ rank: 2, rows: 3, bytes: 100 }]);
    expect(flight!.received).to.deep.equal([
      { rank: 2, rows: 3, bytes: 100, atUs: flight!.startUs + flight!.durationUs },
    ]);
    expect(pack!.startUs + pack!.durationUs, 'no digit is lost').to.equal(flight!.startUs);
  });

  it('counts rows of experts that move beside the step for nothing of its overlap', () => {
    const arrived = { ...event('rows of experts received', 'received', 5, 9), numFrames: 2, bytes: 64 };
    const flights = [event('dispatch flight', 'bytes', 0, 10), event('experts', 'compute', 0, 5)];
    expect(overlapOf([...flights, arrived])).to.deep.equal(overlapOf(flights));
  });

  it('counts the time of flight in which the rank computed, once, and waiting not at all', () => {
    const flights = [event('dispatch flight', 'bytes', 0, 10), event('dispatch flight', 'bytes', 5, 20)];
    const computes = [event('experts', 'compute', 4, 8), event('attention', 'compute', 15, 30)];
    const rest = [event('dispatch', 'compute', 8, 15), event('dispatch unpack', 'rows', 8, 9)];
    expect(overlapOf([...computes, ...flights, ...rest])).to.deep.equal({ flownUs: 20, hiddenUs: 9 });
    expect(overlapOf([])).to.deep.equal({ flownUs: 0, hiddenUs: 0 });
  });
});
