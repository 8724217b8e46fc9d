import { expect } from 'chai';
import { PlayedDisk } from '../../../kit/server/played_disk.js';

describe('lines on their way to a disk', () => {
  it('are all there, in order, when whoever wrote them hears of it', async () => {
    const played = new PlayedDisk();
    const disk = await played.open('head\n');
    const done = await Promise.all(['one\n', 'two, longer\n', 'three\n'].map((line) => disk.append(line)));
    expect([done, played.content]).to.deep.equal([[true, true, true], 'head\none\ntwo, longer\nthree\n']);
    await disk.close();
  });

  it('share a write where they come together', async () => {
    const played = new PlayedDisk();
    const disk = await played.open();
    await Promise.all(Array.from({ length: 10 }, () => disk.append('.\n')));
    expect(played.numWrites).to.equal(4); // pieces of 5 bytes
    await disk.close();
  });

  it('leave no half line on a full disk; that is told once, and once that it is over', async () => {
    const played = new PlayedDisk();
    const disk = await played.open('head\n');
    played.roomBytes = 14;
    expect(await disk.append('first\n')).to.equal(true);
    expect(await disk.append('second\n')).to.equal(false);
    expect(await disk.append('third\n')).to.equal(false);
    expect(played.content).to.equal('head\nfirst\n');
    played.roomBytes = Infinity;
    expect(await disk.append('fourth\n')).to.equal(true);
    expect(played.content).to.equal('head\nfirst\nfourth\n');
    expect(played.told).to.deep.equal(['ENOSPC: no space left on device, write', null]);
    await disk.close();
  });

  it('are neither lost nor doubled where the file is written anew between them', async () => {
    const played = new PlayedDisk();
    const disk = await played.open();
    const known: string[] = [];
    const add = async (line: string): Promise<void> => {
      await disk.append(line);
      known.push(line);
    };
    const lines = Array.from({ length: 40 }, (_, i) => `line ${i}\n`);
    await Promise.all(
      lines.map(async (line, i) => {
        for (let turn = 0; turn < i % 7; turn++) await new Promise(setImmediate);
        if (i % 5 === 0) disk.rewrite(() => known.join(''));
        await add(line);
      }),
    );
    await disk.close();
    expect(played.content.split('\n').sort()).to.deep.equal(['', ...lines.map((line) => line.trim())].sort());
  });

  it('go on in the file that is there where another one can’t be written', async () => {
    const played = new PlayedDisk();
    const disk = await played.open('head\n');
    played.roomBytes = 8;
    disk.rewrite(() => 'much longer than that\n');
    await disk.append('a\n');
    expect(played.content).to.equal('head\na\n');
    await disk.close();
  });
});
