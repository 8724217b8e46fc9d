import { expect } from 'chai';
import fc from 'fast-check';
import { ClusterError } from '../../../../lib/cluster/base/errors.js';
import { MAX_INSTANCES } from '../../../../lib/cluster/bus/bus.js';
import { Roster } from '../../../../lib/cluster/bus/roster.js';
import { batchOf, CLEARED, keyOf, lineOf, loadOf, recordOf, removed, stored } from '../../../kit/cluster/members.js';

/** A roster, what it told, and whom it asked. */
function watched(ttlMs?: number): { roster: Roster; told: string[]; asked: string[] } {
  const [told, asked]: string[][] = [[], []];
  const tell = (event: Parameters<typeof lineOf>[0]) => void told!.push(lineOf(event));
  const roster = new Roster({ tell, ask: (id) => void asked!.push(id), ...(ttlMs !== undefined && { ttlMs }) });
  return { roster, told: told!, asked: asked! };
}

describe('who is there, as one who watches knows it', () => {
  it('an instance that says the same again is told once, and its index is asked for until it comes', () => {
    const { roster, told, asked } = watched();
    for (let ms = 0; ms <= 2000; ms += 500) roster.hear(recordOf('a'), ms);
    expect(asked, 'once a second').to.deep.equal(['a', 'a', 'a']);
    roster.blocks(batchOf('a', 0, CLEARED), 2000);
    for (let ms = 2500; ms < 5000; ms += 500) roster.hear(recordOf('a'), ms);
    expect(asked).to.have.lengthOf(3);
    expect(told).to.deep.equal(['a is mixed as a 1', 'a tells 0: cleared']);
  });

  it('a server of others is asked for nothing', () => {
    const { roster, asked } = watched();
    roster.hear(recordOf('a', { kind: 'foreign' }), 0);
    roster.hear(recordOf('a', { kind: 'foreign' }), 5000);
    roster.resume(9000);
    expect(asked).to.deep.equal([]);
  });

  it('who wasn’t heard of for as long as the limit is gone, and comes again', () => {
    const { roster, told } = watched(5000);
    roster.hear(recordOf('a'), 0);
    roster.hear(recordOf('b'), 1000);
    roster.expire(4999);
    roster.hear(recordOf('b'), 5000);
    roster.expire(9999);
    roster.hear(recordOf('a'), 10_000);
    expect(told).to.deep.equal(['a is mixed as a 1', 'b is mixed as b 1', 'a is gone: silent', 'a is mixed as a 1']);
  });

  it('after a bus was down everybody has all the time again, and is asked', () => {
    const { roster, told, asked } = watched(5000);
    roster.hear(recordOf('a'), 0);
    roster.blocks(batchOf('a', 0, CLEARED), 0);
    roster.resume(60_000);
    roster.expire(64_999);
    expect(told).to.deep.equal(['a is mixed as a 1', 'a tells 0: cleared']);
    expect(asked).to.deep.equal(['a', 'a']);
    roster.expire(65_000);
    expect(told.at(-1)).to.equal('a is gone: silent');
  });

  it('nothing counts of somebody who isn’t there, or of another incarnation', () => {
    const { roster, told, asked } = watched();
    roster.hear(recordOf('a'), 0);
    roster.load(loadOf('b', 0));
    roster.load(loadOf('a', 0, { incarnation: 'a 0' }));
    roster.blocks(batchOf('b', 0, CLEARED), 0);
    roster.blocks({ ...batchOf('a', 0, CLEARED), incarnation: 'a 0' }, 0);
    roster.leave({ id: 'a', incarnation: 'a 0' });
    roster.leave(recordOf('b'));
    expect(told).to.deep.equal(['a is mixed as a 1']);
    expect(asked).to.deep.equal(['a']);
  });

  it('a question that isn’t answered is asked again after a second, where something comes that can’t be told', () => {
    const { roster, asked } = watched();
    roster.hear(recordOf('a'), 0);
    for (const ms of [0, 500, 999, 1000, 1500, 1999, 2000]) roster.blocks(batchOf('a', 1 + ms, stored(ms)), ms);
    expect(asked).to.have.lengthOf(3);
  });

  it('a batch that was lost and that none follows is found by heartbeats: by the second one, since the first may be quicker than the batch', () => {
    const { roster, asked } = watched();
    roster.hear(recordOf('a'), 0);
    roster.blocks(batchOf('a', 0, CLEARED), 0);
    roster.hear(recordOf('a'), 1000, 2);
    roster.blocks(batchOf('a', 1, stored(1)), 1001);
    roster.hear(recordOf('a'), 2000, 3);
    expect(asked).to.have.lengthOf(1);
    roster.hear(recordOf('a'), 3000, 3);
    expect(asked).to.have.lengthOf(2);
  });

  it('who can’t be understood is named once a second, and holds up nobody', () => {
    const { roster, told } = watched();
    const error = new ClusterError('INVALID_RECORD', 'nonsense');
    for (const ms of [0, 10, 999, 1000]) roster.refuse('x', error, ms);
    roster.refuse('y', error, 1000);
    roster.hear(recordOf('a'), 1000);
    expect(told).to.deep.equal([...['x', 'x', 'y'].map((id) => `${id} refused: nonsense`), 'a is mixed as a 1']);
  });

  it('takes as many instances as it may, and names the next one', () => {
    const { roster, told } = watched();
    for (let i = 0; i < MAX_INSTANCES; i++) roster.hear(recordOf(`i${i}`), 0);
    roster.hear(recordOf('late'), 0);
    expect(roster.instances).to.have.lengthOf(MAX_INSTANCES);
    expect(told.at(-1)).to.match(/^late refused: 1024 instances are there/);
    roster.leave(recordOf('i7'));
    roster.hear(recordOf('late'), 0);
    expect(told.at(-1)).to.equal('late is mixed as late 1');
  });

  it('whatever is lost, doubled or late, what is told is what the instance has, as soon as an answer comes', () => {
    let numLost = 0;
    const change = fc.record({
      block: fc.nat(7),
      isLost: fc.constantFrom(false, false, false, true),
      isTwice: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const has = new Set<number>();
        const known = new Set<string>();
        let sequence = 0;
        const questions: string[] = [];
        const roster = new Roster({
          ask: (id) => void questions.push(id),
          tell: (event) => {
            if (event.kind !== 'blocks') return;
            for (const each of event.batch.events) {
              if (each.kind === 'cleared') known.clear();
              else for (const key of each.keys) known[each.kind === 'stored' ? 'add' : 'delete'](key);
            }
          },
        });
        roster.hear(recordOf('a'), 0);
        for (const [i, { block, isLost, isTwice }] of changes.entries()) {
          const isNew = !has.delete(block);
          if (isNew) has.add(block);
          const batch = batchOf('a', sequence++, isNew ? stored(block) : removed(block));
          numLost += Number(isLost);
          for (let n = isLost ? 0 : isTwice ? 2 : 1; n > 0; n--) roster.blocks(batch, 10_000 * i);
          if (questions.splice(0).length === 0 || isLost) continue; // it may be lost too
          roster.blocks(batchOf('a', sequence++, CLEARED, stored(...has)), 10_000 * i);
          expect(known).to.deep.equal(new Set([...has].map(keyOf)));
        }
      }),
    );
    expect(numLost).to.be.above(0);
  });
});
