import { expect } from 'chai';
import { RingReader, RingWriter } from '../../../comm/threads/frame_ring.js';
import { createInbox, Naps, Posts, ringOf } from '../../../comm/threads/inbox.js';
import { PayloadPool } from '../../../comm/mesh/payload_pool.js';
import { headerOf } from '../../kit/comm/ring_writer.js';

describe('an inbox', () => {
  for (const size of [2, 3, 16, 200]) {
    it(`keeps what ${size} senders write apart, and takes a mebibyte or a few at most`, () => {
      const inbox = createInbox(size);
      expect(inbox.byteLength).to.be.at.most(Math.max(2 ** 20, size * 4500));
      const naps = new Naps(inbox);
      naps.sleep();
      for (let sender = 0; sender < size; sender++) {
        const writer = new RingWriter(ringOf(inbox, sender, size));
        const posts = new Posts(inbox, sender, size);
        for (let i = 0; i <= sender; i++) posts.add();
        let step = 0;
        while (writer.write(headerOf(step, 900), [new Uint8Array(900).fill(sender)])) step++;
        expect(step).to.be.at.least(4);
      }
      for (let sender = 0; sender < size; sender++) {
        expect(new Posts(inbox, sender, size).count).to.equal(sender + 1);
        const reader = new RingReader(ringOf(inbox, sender, size));
        const memory = new PayloadPool(1e6);
        for (let frame = reader.next(memory); frame !== undefined; frame = reader.next(memory)) {
          expect(frame.payload.every((byte) => byte === sender)).to.equal(true);
          frame.release?.();
        }
      }
      expect(naps.count).to.equal(1);
    });
  }

  it('counts each nap of its owner once, odd while it sleeps', () => {
    const inbox = createInbox(2);
    const [owner, sender] = [new Naps(inbox), new Naps(inbox)];
    expect(sender.count).to.equal(0);
    for (const [call, count] of [
      ['sleep', 1],
      ['sleep', 1],
      ['wake', 2],
      ['wake', 2],
      ['sleep', 3],
    ] as const) {
      owner[call]();
      expect(sender.count).to.equal(count);
    }
  });
});
