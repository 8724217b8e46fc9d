import { expect } from 'chai';
import { ExpertPredictor } from '../../../experts/tiers/expert_predictor.js';
import { randomFrom } from '../../refs/random.js';

describe('a predictor of experts', () => {
  it('knows nothing before it has seen something', () => {
    expect(new ExpertPredictor([4, 4]).predict({ place: 0, experts: [1, 2] }, 0)).to.deep.equal([]);
  });

  it('finds what always follows, from each layer to the next and from the last to the first', () => {
    const predictor = new ExpertPredictor([4, 6, 4]);
    for (let i = 0; i < 5; i++) {
      predictor.learn({ place: 0, experts: [1, 2] }, { place: 1, experts: [5] });
      predictor.learn({ place: 2, experts: [0] }, { place: 0, experts: [3, 1] });
    }
    expect(predictor.predict({ place: 0, experts: [1, 2] }, 0.5)).to.deep.equal([{ expert: 5, chance: 1 }]);
    expect(predictor.predict({ place: 2, experts: [0] }, 0.5).map(({ expert }) => expert)).to.deep.equal([1, 3]);
    expect(predictor.predict({ place: 1, experts: [5] }, 0)).to.deep.equal([]);
  });

  it('a chance is how often it came true, as the mean over what was used', () => {
    const predictor = new ExpertPredictor([4, 4]);
    for (let i = 0; i < 4; i++) predictor.learn({ place: 0, experts: [0] }, { place: 1, experts: i < 3 ? [1] : [2] });
    predictor.learn({ place: 0, experts: [3] }, { place: 1, experts: [2] });
    expect(predictor.predict({ place: 0, experts: [0] }, 0)).to.deep.equal([
      { expert: 1, chance: 0.75 },
      { expert: 2, chance: 0.25 },
    ]);
    expect(predictor.predict({ place: 0, experts: [0, 3] }, 0.5)).to.deep.equal([{ expert: 2, chance: 0.625 }]);
  });

  it('what comes of another layer than the next teaches nothing', () => {
    const predictor = new ExpertPredictor([2, 2, 2]);
    predictor.learn({ place: 0, experts: [0] }, { place: 2, experts: [1] });
    expect(predictor.predict({ place: 0, experts: [0] }, 0)).to.deep.equal([]);
  });

  it('forgets what was long ago', () => {
    const predictor = new ExpertPredictor([1, 2]);
    for (let i = 0; i < 2000; i++) predictor.learn({ place: 0, experts: [0] }, { place: 1, experts: [0] });
    for (let i = 0; i < 3000; i++) predictor.learn({ place: 0, experts: [0] }, { place: 1, experts: [1] });
    expect(predictor.predict({ place: 0, experts: [0] }, 0.5).map(({ expert }) => expert)).to.deep.equal([1]);
  });

  it('with planted pairs it finds most of what comes, among noise', () => {
    const random = randomFrom(7);
    const pick = (): number => Math.floor(32 * random());
    const predictor = new ExpertPredictor([32, 32]);
    let [found, all] = [0, 0];
    for (let i = 0; i < 4000; i++) {
      const experts = [pick(), pick()];
      const after = experts.map((expert) => (random() < 0.8 ? (5 * expert + 3) % 32 : pick()));
      if (i >= 2000) {
        const likely = predictor.predict({ place: 0, experts }, 0.3).map(({ expert }) => expert);
        for (const expert of after) found += Number(likely.includes(expert));
        all += after.length;
      }
      predictor.learn({ place: 0, experts }, { place: 1, experts: after });
    }
    expect(found / all).to.be.above(0.75);
  });
});
