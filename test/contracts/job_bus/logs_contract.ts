import { expect } from 'chai';
import type { JobBus, LogLine } from '../../../lib/jobs/base/job_bus.js';
import { Told } from '../../kit/jobs/told.js';
import type { Scene } from './scene.js';

const line = (run: string, node: string, index: number, text: string): LogLine => ({
  ...{ run, node, index, attempt: 1, atMs: 1_800_000_000_000, text },
});

type Which = Parameters<JobBus['logs']['read']>[0];

export function logsContract(scene: () => Scene): void {
  const read = async ({ logs }: JobBus, what: Which): Promise<string[]> => {
    const texts: string[] = [];
    for await (const { text } of logs.read(what, null)) texts.push(text);
    return texts;
  };

  it('lines are read in order, of a run, a node or a shard, as they were written', async () => {
    const { bus, other } = scene();
    await bus.logs.append([line('r1', 'a', 0, 'one'), line('r1', 'b', 1, 'zwei ✓'), line('r10', 'a', 0, 'other')]);
    await bus.logs.append([line('r1', 'a', 0, 'three'), line('r1', 'b', 2, 'four')]);
    expect((await read(other, { run: 'r1' })).sort()).to.deep.equal(['four', 'one', 'three', 'zwei ✓']);
    expect(await read(other, { run: 'r1', node: 'a' })).to.deep.equal(['one', 'three']);
    expect(await read(other, { run: 'r1', node: 'b', index: 2 })).to.deep.equal(['four']);
    for await (const each of other.logs.read({ run: 'r10' }, null))
      expect(each).to.deep.equal(line('r10', 'a', 0, 'other'));
  });

  it('a log of which there is nothing is empty', async () => {
    expect(await read(scene().bus, { run: 'none' })).to.deep.equal([]);
  });

  it('who follows gets what is there and what comes, until it says so', async () => {
    const { bus, other } = scene();
    const [told, ending] = [new Told<string>(), new AbortController()];
    await bus.logs.append([line('r1', 'a', 0, 'before')]);
    const following = (async (): Promise<void> => {
      for await (const { text } of other.logs.read({ run: 'r1' }, ending.signal)) told.tell(text);
    })();
    await told.have(1);
    await bus.logs.append([line('r2', 'a', 0, 'of another'), line('r1', 'a', 0, 'behind')]);
    await told.have(2);
    ending.abort();
    await following;
    expect(told.all).to.deep.equal(['before', 'behind']);
  });

  it('thousands of lines of one shard keep their order', async () => {
    const { bus, other } = scene();
    const texts = Array.from({ length: 5000 }, (_, i) => `${i} ${'.'.repeat(i % 90)}`);
    for (let at = 0; at < texts.length; at += 1000)
      await bus.logs.append(texts.slice(at, at + 1000).map((text) => line('r1', 'a', 0, text)));
    expect(await read(other, { run: 'r1', node: 'a', index: 0 })).to.deep.equal(texts);
  });

  it('logs of a run may be removed, and no others are', async () => {
    const { bus, other } = scene();
    await bus.logs.append([line('r1', 'a', 0, 'one'), line('r10', 'a', 0, 'other')]);
    await other.logs.remove('r1');
    expect(await read(bus, { run: 'r1' })).to.deep.equal([]);
    expect(await read(bus, { run: 'r10' })).to.deep.equal(['other']);
  });
}
