import { expect } from 'chai';
import { asRank } from '../../../../base/ids.js';
import { CommError } from '../../../../comm/base/errors.js';
import { errorOfPlain, plainErrorOf } from '../../../../comm/ws/io_thread/io_thread_messages.js';

describe('an error between threads', () => {
  it('keeps its text, where it was, and who is to blame', () => {
    const where = { rank: asRank(3), layer: 2, phase: 'combine', waitedMs: 40 };
    const errors = [
      new CommError('LIMIT', 'a frame too large for rank 3; send fewer rows', where),
      new CommError('LIMIT', 'rank 3 announced a frame too large; raise the limit', { ...where, isItsDoing: true }),
      new CommError('TIMEOUT', 'rank 3 is silent; look at its log', where),
      new CommError('CLOSED', 'the mesh was closed'),
    ];
    for (const error of errors) {
      const again = errorOfPlain(structuredClone(plainErrorOf(error)));
      const { message, code, reason, advice, blames, rank, layer, phase, waitedMs } = error;
      expect(again).to.deep.include({ message, code, reason, advice, blames, rank, layer, phase, waitedMs });
    }
    expect(errors.map(({ blames }) => blames)).to.deep.equal([[], [3], [3], []]);
  });

  it('of another class is a bug, and thrown as it is', () => {
    const bug = new TypeError('no such thing');
    expect(() => plainErrorOf(bug)).to.throw(bug);
  });
});
