import { expect } from 'chai';
import { adapterLines, adapterRows } from '../../../lib/commands/doctor_adapters.js';

const GPU = {
  ...{ name: 'Arc A770', api: 'vulkan', vendor: 'intel', architecture: 'xe', description: '' },
  ...{ isSoftware: false, maxTensorBytes: 2 ** 31, isTaken: true },
};
const SOFTWARE = { ...GPU, name: 'SwiftShader', description: 'driver 5', isSoftware: true, isTaken: false };

describe("doctor's list of GPUs for webgpu", () => {
  it('marks the one that is taken and says what is no GPU', () => {
    expect(adapterLines([GPU, SOFTWARE]).split('\n').slice(1, 3)).to.deep.equal([
      '→ Arc A770: GPU (vulkan, intel, xe), tensors up to 2.0 GiB',
      '  SwiftShader: software renderer, passed over by auto (vulkan, intel, xe, driver 5), tensors up to 2.0 GiB',
    ]);
  });

  it('is nothing where there is none', () => {
    expect(adapterLines([])).to.equal('');
    expect(adapterRows([])).to.deep.equal([]);
  });

  it('is one object per GPU for machines', () => {
    expect(adapterRows([SOFTWARE])).to.deep.equal([
      {
        ...{ name: 'SwiftShader', api: 'vulkan', vendor: 'intel', architecture: 'xe', description: 'driver 5' },
        ...{ software: true, max_tensor_bytes: 2 ** 31, taken: false },
      },
    ]);
  });
});
