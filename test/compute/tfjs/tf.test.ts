import { expect } from 'chai';
import { ExpertError } from '../../../compute/base/errors.js';
import * as tf from '../../../compute/tfjs/tf.js';
import { describeOperations } from '../../contracts/operations_contract.js';
import { errorOf } from '../../kit/rejects.js';

describe('backends', () => {
  it('each is reported in the order in which auto tries them, with a version, device or reason', async () => {
    const reports = await tf.reportBackends();
    expect(reports.map(({ name }) => name)).to.deep.equal(['tensorflow', 'webgpu', 'wasm', 'cpu']);
    for (const { detail } of reports) expect(detail).to.not.equal('');
    const available = reports.filter(({ isAvailable }) => isAvailable).map(({ name }) => name);
    expect(available).to.include('wasm').and.include('cpu');
  });

  it('auto takes the first that runs and is meant for it', async () => {
    const reports = await tf.reportBackends();
    const first = reports.find(({ isAvailable, isAutomatic }) => isAvailable && isAutomatic)!;
    expect((await tf.selectBackend('auto')).name).to.equal(first.name);
  });

  it('one that does not run is refused with its reason and a way on', async () => {
    for (const { name, isAvailable, detail } of await tf.reportBackends()) {
      if (isAvailable) continue;
      const error = await errorOf(ExpertError, () => tf.selectBackend(name));
      expect(error.code).to.equal('BACKEND_UNAVAILABLE');
      expect(error.message).to.contain(`${name}: ${detail}`).and.contain('backend: wasm');
    }
  });
});

describeOperations({ backend: 'wasm', isFused: true });
describeOperations({ backend: 'cpu', isFused: false });
