import { expect } from 'chai';
import { CommError, FRAME_HEADER_BYTES } from '../../../comm/index.js';
import { encodeKvFrame, KvIntake, maxKvFrameBytes, rowsPerFrame } from '../../../comm/kv/kv_frames.js';
import type { KvWish } from '../../../comm/kv/kv_link.js';
import { thrown } from '../../kit/errors.js';

const WISH: KvWish = { from: 4, to: 7, wire: 'f32', dtype: 'f32', numLayers: 2, rowBytes: 12 };
const frame = (layer: number, token: number, numRows: number, wish = WISH): Uint8Array =>
  encodeKvFrame({ layer, token, rows: new Uint8Array(numRows * wish.rowBytes).fill(token) }, wish);

describe('frames of keys and values', () => {
  it('are taken in any order of layers, and are complete when each has all its tokens', () => {
    const intake = new KvIntake(WISH);
    const bytes = [frame(1, 4, 1), frame(0, 4, 3), frame(1, 5, 2)].map((each) => intake.take(each).payloadBytes);
    expect(intake.isComplete).to.equal(true);
    expect(bytes).to.deep.equal([12, 36, 24]);
  });

  it('are refused in any other order of tokens, twice, behind the last one, and in layers that there are not', () => {
    for (const odd of [frame(0, 5, 1), frame(0, 3, 1), frame(0, 4, 4), frame(0, 0xffffffff, 1), frame(2, 4, 1)]) {
      thrown(() => new KvIntake(WISH).take(odd), 'PROTOCOL', { phase: 'kv' });
    }
    const intake = new KvIntake(WISH);
    intake.take(frame(0, 4, 2));
    thrown(() => intake.take(frame(0, 4, 2)), 'PROTOCOL');
    thrown(() => intake.take(frame(0, 6, 0)), 'PROTOCOL');
    intake.take(frame(0, 6, 1));
    thrown(() => intake.take(frame(0, 7, 1)), 'PROTOCOL');
  });

  it('are refused as another dtype, of another width, cut anywhere, longer, and with any bit of the header changed', () => {
    const whole = frame(0, 4, 2);
    for (const other of [
      { wire: 'bf16' },
      { wire: 'int8', dtype: 'int8' },
      { rowBytes: 24 },
      { rowBytes: 8 },
    ] as const) {
      thrown(() => new KvIntake(WISH).take(frame(0, 4, 1, { ...WISH, ...other })), 'PROTOCOL');
    }
    for (let length = 0; length < whole.length; length++) {
      thrown(() => new KvIntake(WISH).take(whole.subarray(0, length)), 'PROTOCOL');
    }
    thrown(() => new KvIntake(WISH).take(Uint8Array.of(...whole, 0)), 'PROTOCOL');
    for (let bit = 0; bit < 8 * FRAME_HEADER_BYTES; bit++) {
      const changed = Uint8Array.from(whole);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const take = (): unknown => new KvIntake({ ...WISH, numLayers: 1 }).take(changed);
      expect(take, `bit ${bit}`).to.throw(CommError, /^(PROTOCOL|VERSION_MISMATCH): /);
    }
  });

  it('have as many tokens as fit a mebibyte, and at least one', () => {
    const [f32, int8] = [{ dtype: 'f32', wire: 'f32' }, { dtype: 'int8', wire: 'int8' }] as const; // prettier-ignore
    expect(rowsPerFrame({ ...f32, rowBytes: 4096 })).to.equal(256);
    expect(rowsPerFrame({ ...f32, wire: 'bf16', rowBytes: 4096 })).to.equal(512);
    expect(rowsPerFrame({ ...int8, rowBytes: 1024 })).to.equal(1024);
    expect(rowsPerFrame({ ...f32, rowBytes: 2 ** 22 })).to.equal(1);
    expect(maxKvFrameBytes({ ...f32, rowBytes: 2 ** 22 })).to.equal(FRAME_HEADER_BYTES + 2 ** 22);
  });
});
