import { expect } from 'chai';
import { ConfigError } from '../../../../lib/config/errors.js';
import { DEFAULTS } from '../../../../lib/config/schema.js';
import { checkElastic } from '../../../../lib/head/elastic/elastic_check.js';
import { errorOf } from '../../../kit/rejects.js';

type Changes = Partial<(typeof DEFAULTS)['elastic']>;

const configOf = (elastic: Changes, onPeerLoss: 'recover' | 'mask' | 'fail' = 'recover') => ({
  elastic: { ...DEFAULTS.elastic, enabled: true, ...elastic },
  parallel: DEFAULTS.parallel,
  comm: { ...DEFAULTS.comm, on_peer_loss: onPeerLoss },
});

const demoting = (onPeerLoss: 'recover' | 'mask' | 'fail') => ({
  ...configOf({ enabled: false }, onPeerLoss),
  parallel: { ...DEFAULTS.parallel, on_slow: 'demote' as const },
});

describe('the configuration of ranks that come, go or give their experts away', () => {
  it('is taken as it is by default, and not looked at where it is off', () => {
    checkElastic(configOf({}), 4);
    checkElastic(configOf({ enabled: false, min_ranks: 9, down: 99 }, 'fail'), 4);
    checkElastic(demoting('recover'), 4);
  });

  for (const [what, config, key] of [
    ['losses that end the job', configOf({}, 'fail'), 'elastic.enabled'],
    ['losses that are masked', configOf({}, 'mask'), 'elastic.enabled'],
    ['more ranks at least than at most', configOf({ min_ranks: 3, max_ranks: 2 }), 'elastic.min_ranks'],
    ['more ranks at least than seats', configOf({ min_ranks: 5 }), 'elastic.min_ranks'],
    ['slow ranks that give experts away where losses are masked', demoting('mask'), 'parallel.on_slow'],
    ['slow ranks that give experts away where a loss ends the job', demoting('fail'), 'parallel.on_slow'],
    ['one mark for more and for fewer', configOf({ up: 2, down: 2 }), 'elastic.down'],
  ] as const) {
    it(`is refused with ${what}`, async () => {
      const error = await errorOf(ConfigError, () => checkElastic(config, 4));
      expect(error).to.include({ code: 'INVALID_VALUE', key });
    });
  }

  for (const [what, config, numSeats, key] of [
    ['that begins with one rank, whatever losses come to', configOf({}, 'fail'), 1, 'parallel.max_ranks'],
    ['that may not have more than one rank', configOf({ max_ranks: 1 }), 2, 'elastic.max_ranks'],
  ] as const) {
    it(`names the seats of a job ${what}`, async () => {
      const error = await errorOf(ConfigError, () => checkElastic(config, numSeats));
      expect(error).to.include({ code: 'INVALID_VALUE', key });
      expect(error.message).to.contain(`raise "${key}"`);
    });
  }
});
