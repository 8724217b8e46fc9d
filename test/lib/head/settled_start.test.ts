import { expect } from 'chai';
import { ConfigError } from '../../../lib/config/errors.js';
import { loadConfig } from '../../../lib/config/load.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { settledStart } from '../../../lib/head/settled_start.js';
import { moe7m } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

describe('what an engine starts with', () => {
  it('has a rank, here or elsewhere', async () => {
    const config = await loadConfig({ flags: { model: moe7m(), parallel: { ranks: 0 } }, overrides: [], env: {} });
    const model = await openModel(config);
    const error = await errorOf(ConfigError, () => settledStart(config, model, 0));
    expect(error.message).to.match(/"parallel.ranks" is 0, and no rank of another machine is waited for/);
    expect((await settledStart(config, model, 2)).placement.numRanks).to.be.at.least(2);
  });
});
