import { expect } from 'chai';
import { expertRoom } from '../../../../lib/model/weights/expert_room.js';

describe('room for experts that a rank takes over', () => {
  const memory = (availableBytes: number, isShared: boolean) =>
    expertRoom({ eachBytes: 100, availableBytes: () => availableBytes, isShared });

  it('alone on its machine, a rank takes what fits, and leaves a tenth', () => {
    expect(memory(1000, false)(9, 90)).to.equal(9);
    expect(memory(1000, false)(10, 10)).to.equal(9);
    expect(memory(50, false)(1, 1)).to.equal(0);
  });

  it('where ranks share memory, each has its part of what fits', () => {
    expect(memory(1000, true)(3, 9)).to.equal(3);
    expect(memory(1000, true)(4, 18)).to.equal(2);
    expect(memory(0, true)(4, 18)).to.equal(0);
  });
});
