import { expect } from 'chai';
import type { Delivery, DeadLetter } from '../../../lib/jobs/base/job_bus.js';
import { Gate, nameOf, queued, Taker, taskOf } from '../../kit/jobs/tasks.js';
import { Told } from '../../kit/jobs/told.js';
import type { Scene } from './scene.js';

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

export function tasksContract(scene: () => Scene): void {
  it('a task comes as it was put in line, and when it is done not again', async () => {
    const { bus, other } = scene();
    await bus.tasks.add([queued('r1', 3)]);
    const taker = new Taker(other, 'w1', 1);
    await taker.gets('r1 3');
    const [delivery] = taker.told.all;
    expect(delivery!.task).to.deep.equal(taskOf('r1', 3));
    expect(delivery!.deliveries).to.equal(1);
    await bus.tasks.add([queued('r1', 4)]);
    await taker.gets('r1 4');
    await taker.stop();
    expect(taker.names).to.deep.equal(['r1 3', 'r1 4']);
  });

  it('a task whose handler fails comes again, and says how often it came', async () => {
    const { bus, other } = scene();
    const told = new Told<number>();
    const stop = other.tasks.take('w1', 1, async (delivery) => {
      told.tell(delivery.deliveries);
      if (delivery.deliveries < 3) throw new Error('played');
      await delivery.done();
    });
    await bus.tasks.add([queued('r1')]);
    expect(await told.have(3)).to.deep.equal([1, 2, 3]);
    await stop();
  });

  it('a task that is asked for again comes no sooner than it may', async () => {
    const { bus, other } = scene();
    const told = new Told<number>();
    const stop = other.tasks.take('w1', 1, async (delivery) => {
      told.tell(performance.now());
      await (delivery.deliveries === 1 ? delivery.again(300) : delivery.done());
    });
    await bus.tasks.add([queued('r1')]);
    const [first, second] = await told.have(2);
    expect(second! - first!).to.be.greaterThan(290);
    await stop();
  });

  it('a task that nobody can do is kept apart with its reason', async () => {
    const { bus, other } = scene();
    const taker = new Taker(other, 'w1', 1, (delivery) =>
      nameOf(delivery.task) === 'r1 0' ? delivery.dead('NOT_ALLOWED: no') : delivery.done(),
    );
    await bus.tasks.add([queued('r1', 0), queued('r1', 1)]);
    await taker.gets('r1 1');
    await taker.stop();
    expect(taker.names).to.deep.equal(['r1 0', 'r1 1']);
    const dead = (await bus.records.list('dead')).map(({ text }) => JSON.parse(text) as DeadLetter);
    expect(dead.map(({ task, reason, deliveries }) => [nameOf(task), reason, deliveries])).to.deep.equal([
      ['r1 0', 'NOT_ALLOWED: no', 1],
    ]);
    expect(dead[0]!.atMs).to.be.greaterThan(1.7e12);
  });

  it('a worker has as many in hand as it wants, its own ones with them, and not one more', async () => {
    const { bus, other } = scene();
    const gate = new Gate();
    const taker = new Taker(other, 'w1', 3, async (delivery) => {
      await gate.opened;
      await delivery.done();
    });
    await bus.tasks.add(range(12).map((i) => queued('r1', i, i % 2 === 0 ? 'w1' : null)));
    await taker.told.have(3);
    // Whoever gave a fourth one would have given it by the time that all of this was there and back.
    await bus.tasks.add([queued('r1', 12)]);
    expect(taker.numInHand).to.equal(3);
    gate.open();
    await taker.told.until((all) => new Set(all.map(({ task }) => task.key.index)).size === 13);
    await taker.stop();
    expect(taker.mostInHand).to.equal(3);
  });

  it('many who take share what is there, and each task is done once', async () => {
    const { bus, other } = scene();
    const told = new Told<string>();
    const act = (delivery: Delivery): Promise<void> => {
      told.tell(nameOf(delivery.task));
      return delivery.done();
    };
    const takers = ['w1', 'w2', 'w3'].map((name, i) => new Taker(i === 0 ? bus : other, name, 4, act));
    await bus.tasks.add(range(100).map((i) => queued('r1', i)));
    await told.have(100);
    await Promise.all(takers.map((taker) => taker.stop()));
    expect([...told.all].sort()).to.deep.equal(
      range(100)
        .map((i) => `r1 ${i}`)
        .sort(),
    );
  });

  it('a task for a worker goes to no other one', async () => {
    const { bus, other } = scene();
    const [w1, w2] = [new Taker(other, 'w1', 2), new Taker(other, 'w2', 2)];
    await bus.tasks.add(range(10).map((i) => queued('r1', i, i < 5 ? 'w1' : 'w2')));
    await Promise.all([w1.told.have(5), w2.told.have(5)]);
    await Promise.all([w1.stop(), w2.stop()]);
    expect([...w1.names].sort()).to.deep.equal(range(5).map((i) => `r1 ${i}`));
    expect([...w2.names].sort()).to.deep.equal(range(5).map((i) => `r1 ${i + 5}`));
  });

  it('a task that was put in line is not put there again', async () => {
    const { bus, other } = scene();
    await bus.tasks.add([queued('r1', 0), queued('r1', 1)]);
    await other.tasks.add([queued('r1', 1), queued('r1', 0), queued('r1', 2)]);
    const taker = new Taker(other, 'w1', 1);
    await taker.gets('r1 2');
    await bus.tasks.add([queued('r1', 0), queued('r1', 3)]); // it is done by now
    await taker.gets('r1 3');
    await taker.stop();
    expect([...taker.names].sort()).to.deep.equal(['r1 0', 'r1 1', 'r1 2', 'r1 3']);
  });

  it('what waits of a run or for a worker may be dropped, and all else goes on', async () => {
    const { bus, other } = scene();
    await bus.tasks.add([queued('r1', 0), queued('r1', 1, 'w1'), queued('r2', 0, 'w2'), queued('r2', 1, 'w1')]);
    await bus.tasks.add([queued('r3', 0), queued('r3', 1, 'w1')]);
    await other.tasks.drop({ run: 'r1' });
    await other.tasks.drop({ worker: 'w2' });
    const [w1, w2] = [new Taker(bus, 'w1', 1), new Taker(other, 'w2', 1)];
    await bus.tasks.add([queued('r4', 0, 'w1'), queued('r4', 1, 'w2')]);
    await Promise.all([w1.gets('r4 0'), w2.gets('r4 1')]);
    const isThere = (): boolean => ['r2 1', 'r3 0', 'r3 1'].every((name) => [...w1.names, ...w2.names].includes(name));
    await Promise.race([w1.told.until(isThere), w2.told.until(isThere)]);
    await Promise.all([w1.stop(), w2.stop()]);
    expect([...w1.names, ...w2.names].sort()).to.deep.equal(['r2 1', 'r3 0', 'r3 1', 'r4 0', 'r4 1']);
  });

  it('who stops ends what it has in hand and takes nothing more, and the rest goes to others', async () => {
    const { bus, other } = scene();
    const gate = new Gate();
    const w1 = new Taker(other, 'w1', 1, async (delivery: Delivery) => {
      await gate.opened;
      await delivery.done();
    });
    await bus.tasks.add([queued('r1', 0)]);
    await w1.told.have(1);
    await bus.tasks.add([queued('r1', 1), queued('r1', 2)]);
    let isStopped = false;
    const stopping = w1.stop().then(() => (isStopped = true));
    const w2 = new Taker(bus, 'w2', 1);
    await w2.told.have(2);
    expect(isStopped).to.equal(false);
    gate.open();
    await stopping;
    await bus.tasks.add([queued('r1', 3)]);
    await w2.told.have(3);
    await w2.stop();
    expect(w1.names).to.deep.equal(['r1 0']);
    expect(w2.names).to.deep.equal(['r1 1', 'r1 2', 'r1 3']);
  });

  it('what is kept outlives the process where it says so', async function () {
    const { bus, underTest } = scene();
    if (!bus.tasks.isDurable || underTest.restart === null) return this.skip();
    await bus.tasks.add([queued('r1', 0), queued('r1', 1, 'w1')]);
    const again = await underTest.restart();
    const taker = new Taker(again, 'w1', 2);
    await taker.told.have(2);
    await taker.stop();
    expect([...taker.names].sort()).to.deep.equal(['r1 0', 'r1 1']);
  });
}
