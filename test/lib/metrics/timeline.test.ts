import { expect } from 'chai';
import {
  chromeEvent,
  chromeHead,
  chromeMoveHead,
  chromeSwitch,
  overlapOf,
  Timeline,
  type TimelineEvent,
} from '../../../lib/metrics/timeline.js';

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
    expect(unpack!.track).to.equal('compute');
    expect(experts!.durationUs).to.equal(2000);
    expect(flight!.startUs - experts!.startUs).to.be.closeTo(1000, 1);
    expect(Math.abs(experts!.startUs - 1000 * (performance.timeOrigin + 10))).to.be.below(1);
    expect(timeline.take()).to.deep.equal([]);
  });

  it('becomes Chrome events: a process per rank, a thread for compute and one per micro-batch', () => {
    expect(chromeHead(3, 2).map(({ ph, pid, tid, args }) => [ph, pid, tid, args.name])).to.deep.equal([
      ['M', 3, 0, 'rank 3'],
      ['M', 3, 0, 'compute'],
      ['M', 3, 1, 'bytes, micro-batch 0'],
      ['M', 3, 2, 'bytes, micro-batch 1'],
    ]);
    const flight = { ...event('dispatch flight', 'bytes', 5, 9), layer: 4, microBatch: 1 };
    expect(chromeEvent(3, flight)).to.deep.equal({
      ...{ name: 'dispatch flight', ph: 'X', pid: 3, tid: 2, ts: 5, dur: 4 },
      args: { step: 1, layer: 4, microBatch: 1 },
    });
    expect(chromeEvent(3, event('gate', 'compute', 5, 9)).tid).to.equal(0);
  });

  it('shows rows of experts on tracks of their own, and another placement as a moment of the whole rank', () => {
    const lanes = chromeMoveHead(3).map(({ tid, args }) => [args.name, tid]);
    const arrived = { ...event('rows of experts received', 'received', 5, 9), numFrames: 2, bytes: 64 };
    const { tid, args } = chromeEvent(3, arrived);
    expect(args).to.deep.equal({ step: 1, numFrames: 2, bytes: 64 });
    expect(lanes).to.deep.include(['rows of experts received', tid]);
    expect(lanes).to.deep.include(['rows of experts sent', chromeEvent(3, event('x', 'sent', 5, 9)).tid]);
    const others = chromeHead(3, 8).map((head) => head.tid);
    for (const [, lane] of lanes) expect(others).not.to.include(lane);
    expect(chromeSwitch(3, 7, { ...arrived, step: 9 })).to.deep.equal({
      ...{ name: 'placement version 7', ph: 'i', s: 'p', pid: 3, tid: 0, ts: 5 },
      args: { step: 9, version: 7 },
    });
    const flights = [event('dispatch flight', 'bytes', 0, 10), event('experts', 'compute', 0, 5)];
    expect(overlapOf([...flights, arrived])).to.deep.equal(overlapOf(flights));
  });

  it('counts the time of flight in which the rank computed, once, and waiting not at all', () => {
    const flights = [event('dispatch flight', 'bytes', 0, 10), event('dispatch flight', 'bytes', 5, 20)];
    const computes = [event('experts', 'compute', 4, 8), event('attention', 'compute', 15, 30)];
    const rest = [event('dispatch', 'compute', 8, 15), event('dispatch unpack', 'compute', 8, 9)];
    expect(overlapOf([...computes, ...flights, ...rest])).to.deep.equal({ flownUs: 20, hiddenUs: 9 });
    expect(overlapOf([])).to.deep.equal({ flownUs: 0, hiddenUs: 0 });
  });
});
