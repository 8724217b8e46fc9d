import { expect } from 'chai';
import { diskRow, paysFrom } from '../../../bench/kv/measure_disk.js';

const row = (tokens: number, computedMs: number, diskMs: number) =>
  diskRow(tokens, { computedMs: [computedMs], diskMs: [diskMs], numChanged: 0 });

describe('figures of the disk tier', () => {
  it('are times to the first token, and from which length on files are always quicker', () => {
    expect(row(64, 10, 20)).to.deep.equal({ tokens: 64, computed_ms: 10, disk_ms: 20, ratio: 0.5 });
    expect(paysFrom([row(64, 21, 20), row(128, 20, 20), row(256, 30, 20), row(512, 60, 20)])).to.contain('from 256');
    expect(paysFrom([row(64, 21, 20)])).to.contain('from 64');
    expect(paysFrom([row(64, 10, 20)])).to.contain('at no length');
  });
});
