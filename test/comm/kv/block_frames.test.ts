import { expect } from 'chai';
import { CommError, FRAME_HEADER_BYTES } from '../../../comm/index.js';
import { BlockIntake, blockFrames, maxBlockFrameBytes } from '../../../comm/kv/block_frames.js';
import type { KvBlocksWish } from '../../../comm/kv/kv_link.js';
import { thrown } from '../../kit/errors.js';
import { randomFrom } from '../../refs/random.js';

const WISH: KvBlocksWish = { first: 3, numBlocks: 2, rowBytes: 24, stateBytes: 8 };
const KEYS = ['key of three', 'key of four'];
const bytesOf = (numBytes: number, seed = 1): Uint8Array => {
  const random = randomFrom(seed);
  return Uint8Array.from({ length: numBytes }, () => random() * 256);
};
const framesOf = (at: number, key = KEYS[at - 3]!, bytes = bytesOf(24, at)): Uint8Array[] => [
  ...blockFrames({ at, key, bytes }),
];
const intakeOf = (wish = WISH): BlockIntake => new BlockIntake(wish, KEYS);

describe('frames of whole blocks', () => {
  it('are at most a mebibyte and a header long, and give the same bytes', () => {
    const wish = { ...WISH, rowBytes: 3 * 2 ** 20, stateBytes: 5 };
    const bytes = bytesOf(wish.rowBytes + wish.stateBytes);
    const frames = framesOf(3, KEYS[0], bytes);
    expect(frames.map(({ byteLength }) => byteLength - FRAME_HEADER_BYTES)).to.deep.equal([
      ...[2 ** 20, 2 ** 20, 2 ** 20, 37],
    ]);
    expect(Math.max(...frames.map(({ byteLength }) => byteLength))).to.equal(maxBlockFrameBytes(wish));
    const intake = intakeOf(wish);
    const taken = frames.map((frame) => intake.take(frame));
    expect(taken.slice(0, -1)).to.deep.equal([null, null, null]);
    expect(taken.at(-1)).to.deep.equal({ at: 3, key: KEYS[0], bytes });
  });

  it('come in the order of the wish, each once, with a state or without', () => {
    const intake = intakeOf();
    expect(intake.take(framesOf(3)[0]!)?.at).to.equal(3);
    thrown(() => intake.take(framesOf(3)[0]!), 'PROTOCOL', { phase: 'kv' });
    expect(intake.take(framesOf(4, KEYS[1], bytesOf(32))[0]!)?.bytes).to.deep.equal(bytesOf(32));
    expect(intake.isComplete).to.equal(true);
    thrown(() => intake.take(framesOf(5, 'another')[0]!), 'PROTOCOL');
  });

  it('are refused where their block is another, longer, shorter, or begins elsewhere', () => {
    for (const odd of [
      framesOf(4),
      framesOf(2, 'a'),
      framesOf(3, KEYS[0], bytesOf(25)),
      framesOf(3, KEYS[0], bytesOf(0)),
    ]) {
      thrown(() => intakeOf().take(odd[0]!), 'PROTOCOL');
    }
    const wish = { ...WISH, rowBytes: 2 ** 21 };
    const frames = framesOf(3, KEYS[0], bytesOf(2 ** 21));
    thrown(() => intakeOf(wish).take(frames[1]!), 'PROTOCOL');
    const intake = intakeOf(wish);
    intake.take(frames[0]!);
    thrown(() => intake.take(frames[2]!), 'PROTOCOL');
  });

  it('are no block with any bit changed, cut anywhere, longer, or of another key', () => {
    const whole = framesOf(3)[0]!;
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const changed = Uint8Array.from(whole);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => intakeOf().take(changed), `bit ${bit}`).to.throw(CommError, /^(PROTOCOL|VERSION_MISMATCH): /);
    }
    for (let length = 0; length < whole.length; length++) {
      thrown(() => intakeOf().take(whole.subarray(0, length)), 'PROTOCOL');
    }
    thrown(() => intakeOf().take(Uint8Array.of(...whole, 0)), 'PROTOCOL');
    thrown(() => intakeOf().take(framesOf(3, 'another key')[0]!), 'PROTOCOL');
  });
});
