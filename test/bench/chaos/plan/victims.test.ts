import { expect } from 'chai';
import { victimsOf } from '../../../../bench/chaos/plan/victims.js';

describe('victims of a fault', () => {
  it('are ranks that are there, each as likely as another, and two different ones of a link', () => {
    const members = [1, 4, 5];
    const pairs = new Set<string>();
    for (let a = 0; a < 1; a += 1 / 12) {
      for (let b = 0; b < 1; b += 1 / 12) {
        expect(victimsOf({ kind: 'kill', draws: [a, b] }, members)).to.deep.equal([members[Math.floor(3 * a)]]);
        pairs.add(victimsOf({ kind: 'cut', draws: [a, b] }, members)!.join('→'));
      }
    }
    expect([...pairs].sort()).to.deep.equal(['1→4', '1→5', '4→1', '4→5', '5→1', '5→4']);
  });

  it('are none where a rank comes, and too few where the last one would be taken', () => {
    for (const kind of ['join', 'abort'] as const) {
      expect(victimsOf({ kind, draws: [0, 0] }, [])).to.deep.equal([]);
    }
    for (const kind of ['kill', 'stop', 'cut', 'silence', 'leave'] as const) {
      expect(victimsOf({ kind, draws: [0, 0] }, [2])).to.equal(null);
    }
    expect(victimsOf({ kind: 'slow', draws: [0.9, 0] }, [2])).to.deep.equal([2]);
    expect(victimsOf({ kind: 'slow', draws: [0.9, 0] }, [])).to.equal(null);
  });
});
