import { expect } from 'chai';
import { instanceLine } from '../../../../lib/cluster/start/instance_line.js';

describe('what an instance writes', () => {
  it('is a line of its log, with what belongs to it', () => {
    const line = '{"level":40,"time":"2026-01-01T00:00:00.000Z","msg":"rank 1 is lost","rank":1}';
    expect(instanceLine(line)).to.deep.equal({ level: 'warn', text: 'rank 1 is lost', fields: { rank: 1 } });
  });

  it('is told as it is where it is something else, without what a terminal would obey', () => {
    for (const line of ['expertwire: NO_ROOM: x', '{"a":1}', '{"level":1', '[1]', 'null']) {
      expect(instanceLine(line)).to.deep.equal({ level: 'info', text: line, fields: {} });
    }
    expect(instanceLine('\u001b[2Jx').text).to.not.contain('\u001b');
    expect(instanceLine('{"level":99,"msg":"\u001b[2J"}')).to.deep.include({ level: 'info', fields: {} });
  });
});
