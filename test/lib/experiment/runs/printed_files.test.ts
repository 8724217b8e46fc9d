import { expect } from 'chai';
import fc from 'fast-check';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  fileLines,
  PrintedLog,
  printedRun,
  TIMES_FILE,
  timesIn,
} from '../../../../lib/experiment/runs/printed_files.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const MARK = '00ff';

/** What a log leaves of lines. */
function taken(lines: readonly string[], mark = MARK): { readonly log: string[]; readonly printed: PrintedLog } {
  const printed = new PrintedLog(mark);
  const log = lines.flatMap((line) => printed.take(line.replace(/\n$/, '')) ?? []);
  return { log, printed };
}

describe('files in a log', () => {
  it('come out as they went in, whatever is between their lines and however often a line comes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 20_000 }),
        fc.array(
          fc.string().filter((text) => !text.includes('\n') && !text.includes('::expertwire')),
          { maxLength: 5 },
        ),
        fc.boolean(),
        (content, words, isTwice) => {
          const lines = fileLines('result.json', content, MARK);
          const mixed = [...lines.flatMap((line, i) => [...words.slice(i, i + 1), line]), ...words.slice(lines.length)];
          const { log, printed } = taken(isTwice ? [...lines, ...mixed] : mixed);
          expect(log).to.deep.equal(words);
          expect(printed.file('result.json')).to.deep.equal(Buffer.from(content));
        },
      ),
    );
  });

  it('of several megabytes are lines that no log cuts', () => {
    const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => `${Math.sin(i)}`).join());
    const lines = fileLines('result.json', content, MARK);
    expect(Math.max(...lines.map((line) => line.length))).to.be.below(4200);
    expect(taken(lines).printed.file('result.json')!.equals(content)).to.equal(true);
  });

  it('that lack a line, or have another one, are not there', () => {
    const content = Buffer.from(Array.from({ length: 10_000 }, (_, i) => `${Math.sin(i)}`).join());
    const lines = fileLines('result.json', content, MARK);
    expect(lines.length).to.be.above(10);
    for (const i of [0, 5, lines.length - 1]) {
      expect(taken(lines.toSpliced(i, 1)).printed.file('result.json')).to.equal(null);
      const other = lines[i]!.replace(/.\n$/, (end) => (end.startsWith('A') ? 'B\n' : 'A\n'));
      expect(taken(lines.with(i, other)).printed.file('result.json')).to.equal(null);
    }
  });

  it('of another mark are words of the log', () => {
    const lines = fileLines('result.json', Buffer.from('{}'), 'aa');
    const { log, printed } = taken(lines);
    expect(log).to.have.length(lines.length);
    expect(printed.file('result.json')).to.equal(null);
  });

  it('behind a line without an end leave that line to the log', () => {
    const [line] = fileLines('result.json', Buffer.from('{}'), MARK);
    const { log, printed } = taken([`half a line${line!}`]);
    expect(log).to.deep.equal(['half a line']);
    expect(printed.file('result.json')!.toString()).to.equal('{}');
  });

  it('are what a run left, and how long it took', () =>
    withTempFolder(async (dir) => {
      const folder = join(dir, 'run');
      await mkdir(folder);
      await writeFile(join(folder, 'error.json'), '{"code":"A","message":"b"}');
      const times = { startedAt: new Date(1000), durationMs: 2.5 };
      const { printed } = taken((await printedRun(folder, times, MARK)).trimEnd().split('\n'));
      expect(printed.file('error.json')!.toString()).to.equal('{"code":"A","message":"b"}');
      expect(printed.file('result.json')).to.equal(null);
      expect(timesIn(printed.file(TIMES_FILE))).to.deep.equal(times);
      expect(timesIn(Buffer.from('{"startedAt": 3}'))).to.equal(null);
    }));
});
