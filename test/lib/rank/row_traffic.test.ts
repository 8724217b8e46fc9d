import { expect } from 'chai';
import type { FrameHeader, FrameKey } from '../../../comm/mesh/frame.js';
import { asRank } from '../../../base/ids.js';
import type { Frame } from '../../../comm/mesh/mesh.js';
import { RowTraffic } from '../../../lib/rank/row_traffic.js';
import { errorOf } from '../../kit/rejects.js';

const KEY: FrameKey = { phase: 'weights', step: 1, layer: 0, microBatch: 0, epoch: 0 };
const WAIT = { timeoutMs: 1000 };

/** Its frames arrive when the test says so. */
class StagedMesh {
  readonly rank = asRank(0);
  readonly waiting: { resolve: (frame: Frame) => void; reject: (error: Error) => void }[] = [];
  isBroken = false;

  send(): void {
    if (this.isBroken) throw new Error('it is cut');
  }

  receive(): Promise<Frame> {
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }
}

const headerOf = (payloadBytes: number): FrameHeader => ({
  ...KEY,
  ...{ source: asRank(0), destination: asRank(1), numRows: 1, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0 },
  payloadBytes,
});

const frameOf = (bytes: number, arrivedMs: number): Frame => ({
  header: headerOf(bytes),
  payload: new Uint8Array(bytes),
  arrivedMs,
});

describe('rows of experts that move', () => {
  it('are one stretch per step and direction, from its beginning to the last frame, with frames and bytes', async () => {
    const staged = new StagedMesh();
    const traffic = new RowTraffic(staged);
    const beforeMs = performance.now();
    traffic.begin();
    const both = [1, 2].map((from) => traffic.mesh.receive(asRank(from), KEY, WAIT));
    traffic.mesh.send(asRank(1), headerOf(100), []);
    const sentMs = performance.now();
    const lastMs = sentMs + 40;
    staged.waiting[0]!.resolve(frameOf(7, lastMs));
    staged.waiting[1]!.resolve(frameOf(8, lastMs - 30));
    await Promise.all(both);
    const [sent, received, ...more] = traffic.events(5);
    expect(more).to.deep.equal([]);
    expect(sent).to.include({ name: 'rows of experts sent', track: 'sent', step: 5, numFrames: 1, bytes: 100 });
    expect(received).to.include({ track: 'received', step: 5, numFrames: 2, bytes: 15 });
    expect(received!.startUs).to.equal(sent!.startUs);
    expect(sent!.startUs / 1000 - performance.timeOrigin).to.be.within(beforeMs - 0.01, sentMs);
    const endMs = (received!.startUs + received!.durationUs) / 1000 - performance.timeOrigin;
    expect(endMs).to.be.closeTo(lastMs, 0.01);
  });

  it('count for the step that waited for them, and only when they left or arrived', async () => {
    const staged = new StagedMesh();
    const traffic = new RowTraffic(staged);
    traffic.begin();
    const late = traffic.mesh.receive(asRank(1), KEY, WAIT);
    const lost = traffic.mesh.receive(asRank(1), KEY, WAIT);
    staged.isBroken = true;
    expect(() => traffic.mesh.send(asRank(1), headerOf(3), [])).to.throw('it is cut');
    expect(traffic.events(1)).to.deep.equal([]);
    traffic.begin();
    staged.waiting[0]!.resolve(frameOf(7, performance.now()));
    staged.waiting[1]!.reject(new Error('its sender is gone'));
    await late;
    expect((await errorOf(Error, () => lost)).message).to.equal('its sender is gone');
    expect(traffic.events(2)).to.deep.equal([]);
  });
});
