import { expect } from 'chai';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { JobError } from '../../../lib/jobs/base/errors.js';
import { Told } from '../../kit/jobs/told.js';
import { errorOf } from '../../kit/rejects.js';
import type { Scene } from './scene.js';

/** 'run.a = text', 'run.a is gone' or 'ready'. */
class RecordsTold extends Told<string> {
  readonly stop: () => void;

  constructor({ records }: JobBus, prefix: string) {
    super();
    this.stop = records.watch(prefix, {
      changed: (key, text) => this.tell(text === null ? `${key} is gone` : `${key} = ${text}`),
      ready: () => this.tell('ready'),
    });
  }

  hears(line: string): Promise<void> {
    return this.until((all) => all.includes(line));
  }
}

export function recordsContract(scene: () => Scene): void {
  const refusal = async (act: () => Promise<unknown>): Promise<string> => (await errorOf(JobError, act)).code;

  it('a record is made once, and everybody reads it', async () => {
    const { bus, other } = scene();
    expect(await bus.records.read('run.a')).to.equal(null);
    const revision = await bus.records.write('run.a', '{"state":"läuft"}', 0);
    expect(await other.records.read('run.a')).to.deep.equal({ key: 'run.a', text: '{"state":"läuft"}', revision });
    expect(await refusal(() => other.records.write('run.a', '{}', 0))).to.equal('RECORD_CONFLICT');
  });

  it('who writes says which revision he read, and another one in between is told', async () => {
    const { bus, other } = scene();
    const first = await bus.records.write('run.a', '1', 0);
    const second = await other.records.write('run.a', '2', first);
    expect(second).to.be.greaterThan(first);
    expect(await refusal(() => bus.records.write('run.a', '3', first))).to.equal('RECORD_CONFLICT');
    expect(await refusal(() => bus.records.write('run.b', '3', second))).to.equal('RECORD_CONFLICT');
    expect((await bus.records.read('run.a'))?.text).to.equal('2');
  });

  it('of many who write at once one wins', async () => {
    const { bus, other } = scene();
    const attempt = async (writer: number): Promise<number | null> => {
      const { records } = writer % 2 === 0 ? bus : other;
      try {
        await records.write('shard.a.work.0', `${writer}`, 0);
        return writer;
      } catch (error) {
        expect((error as JobError).code).to.equal('RECORD_CONFLICT');
        return null;
      }
    };
    const winners = (await Promise.all(Array.from({ length: 20 }, (_, i) => attempt(i)))).filter(
      (each) => each !== null,
    );
    expect(winners).to.have.length(1);
    expect((await bus.records.read('shard.a.work.0'))?.text).to.equal(`${winners[0]}`);
  });

  it('a record that was removed isn’t there, may be removed again, and may be made anew', async () => {
    const { bus, other } = scene();
    const first = await bus.records.write('ask.a', '1', 0);
    await other.records.remove('ask.a');
    await other.records.remove('ask.a');
    expect(await bus.records.read('ask.a')).to.equal(null);
    expect(await refusal(() => bus.records.write('ask.a', '2', first))).to.equal('RECORD_CONFLICT');
    expect(await bus.records.write('ask.a', '3', 0)).to.be.greaterThan(first);
    expect((await other.records.list('ask')).map(({ text }) => text)).to.deep.equal(['3']);
  });

  it('a list has what is below its prefix, by whole tokens', async () => {
    const { bus, other } = scene();
    for (const key of ['shard.r1.a.0', 'shard.r1.a.1', 'shard.r10.a.0', 'run.r1']) await bus.records.write(key, key, 0);
    const listed = async (prefix: string): Promise<string[]> =>
      (await other.records.list(prefix)).map(({ key, text }) => `${key}=${text}`).sort();
    expect(await listed('shard.r1')).to.deep.equal(['shard.r1.a.0=shard.r1.a.0', 'shard.r1.a.1=shard.r1.a.1']);
    expect(await listed('run.r1')).to.deep.equal(['run.r1=run.r1']);
    expect(await listed('')).to.have.length(4);
    expect(await listed('job')).to.deep.equal([]);
  });

  it('a record may have 200,000 characters', async () => {
    const { bus, other } = scene();
    const text = JSON.stringify('x'.repeat(200_000));
    await bus.records.write('job.a', text, 0);
    expect((await other.records.read('job.a'))?.text).to.equal(text);
  });

  it('who watches is told of what is there, that this was all, and of what comes; who stopped of nothing', async () => {
    const { bus, other } = scene();
    const revision = await bus.records.write('run.a', '1', 0);
    await bus.records.write('job.a', '1', 0);
    const [all, stopped] = [new RecordsTold(other, 'run'), new RecordsTold(other, '')];
    for (const each of [all, stopped]) await each.hears('ready');
    expect(all.all).to.deep.equal(['run.a = 1', 'ready']);
    expect([...stopped.all].sort()).to.deep.equal(['job.a = 1', 'ready', 'run.a = 1']);
    stopped.stop();
    await bus.records.write('run.a', '2', revision);
    await all.hears('run.a = 2');
    await bus.records.remove('run.a');
    await all.hears('run.a is gone');
    await bus.records.write('run.b', '1', 0);
    await all.hears('run.b = 1');
    expect(stopped.all).to.have.length(3);
    all.stop();
  });

  it('who watches where there is nothing is told so', async () => {
    const told = new RecordsTold(scene().bus, 'shard.none');
    await told.hears('ready');
    expect(told.all).to.deep.equal(['ready']);
    told.stop();
  });
}
