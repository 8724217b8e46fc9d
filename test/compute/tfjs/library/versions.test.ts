import { expect } from 'chai';
import { programFor, PROGRAM } from '../../../../compute/tfjs/webgpu/matmul_programs.js';
import { checkVersions } from '../../../../compute/tfjs/library/versions.js';
import { errorOf } from '../../../kit/rejects.js';

const TESTED = { young: '0.6.2', 'of-a-family': '4.22.0' };
const COMMAND = 'npm install --no-save young@0.6.2 of-a-family@4.22.0';

const check = (found: Readonly<Record<string, string>>): void => checkVersions(TESTED, (name) => found[name] ?? null);

describe('packages beside expertwire', () => {
  it('may be of another patch below 1.0, and of the very version above', () => {
    check({ young: '0.6.2', 'of-a-family': '4.22.0' });
    check({ young: '0.6.9', 'of-a-family': '4.22.0' });
  });

  it('that are missing or of another version are refused with what installs them', async () => {
    for (const [found, words] of [
      [{}, 'young is not installed'],
      [{ young: '0.7.2' }, 'young 0.7.2 is installed, and expertwire was tested with 0.6.2'],
      [{ young: '0.60.2' }, 'young 0.60.2 is installed'],
      [{ young: '0.6.2' }, 'of-a-family is not installed'],
      [{ young: '0.6.2', 'of-a-family': '4.22.1' }, 'of-a-family 4.22.1 is installed'],
    ] as [Record<string, string>, string][]) {
      const { message } = await errorOf(Error, () => check(found));
      expect(message)
        .to.contain(words)
        .and.match(new RegExp(`; ${COMMAND}$`));
    }
  });
});

describe('the program of a matmul on webgpu', () => {
  it('is one whose sums have one order: no long sum is split', () => {
    for (const [numRows, inner, numColumns] of [
      [1, 2000, 129],
      [1, 7168, 1024],
      [8, 7168, 1024],
      [9, 7168, 512],
    ] as const) {
      expect(programFor(numRows, inner, numColumns, false)).to.equal(PROGRAM.small);
    }
    expect(programFor(1, 7168, 1025, false)).to.equal(PROGRAM.packed);
    expect(programFor(64, 7168, 512, false)).to.equal(PROGRAM.packed);
  });

  it("is TensorFlow.js's own choice for short sums and few outputs, and always the same on a software renderer", () => {
    expect(programFor(4, 1999, 4096, false)).to.equal(PROGRAM.own);
    expect(programFor(1, 7168, 128, false)).to.equal(PROGRAM.own);
    for (const inner of [1, 1999, 7168]) expect(programFor(1, inner, 128, true)).to.equal(PROGRAM.small);
  });
});
