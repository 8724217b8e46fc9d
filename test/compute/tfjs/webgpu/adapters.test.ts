import { expect } from 'chai';
import {
  chooseAdapter,
  openAdapter,
  reportAdapters,
  type AdapterReport,
} from '../../../../compute/tfjs/webgpu/adapters.js';
import type { Dawn, GpuAdapter } from '../../../../compute/tfjs/library/dawn.js';
import { errorOf } from '../../../kit/rejects.js';

const GPU: AdapterReport = {
  name: 'Radeon RX 7600',
  api: 'vulkan',
  vendor: 'amd',
  architecture: 'rdna-3',
  description: '',
  isSoftware: false,
  maxTensorBytes: 2 ** 31,
};
const OTHER = { ...GPU, name: 'Arc A770' };
const SOFTWARE = { ...GPU, name: 'SwiftShader Device', isSoftware: true };

const chosen = (adapters: readonly AdapterReport[], wanted: string | null, preferred: number): string =>
  adapters[chooseAdapter(adapters, wanted, preferred)]!.name;

describe('of several adapters', () => {
  it('the one that Dawn prefers is taken', () => {
    expect(chosen([GPU, OTHER], null, 1)).to.equal(OTHER.name);
    expect(chosen([GPU, OTHER], null, -1)).to.equal(GPU.name);
  });

  it('a software renderer comes last, whatever Dawn prefers', () => {
    expect(chosen([SOFTWARE, GPU], null, 0)).to.equal(GPU.name);
    expect(chosen([SOFTWARE], null, 0)).to.equal(SOFTWARE.name);
    expect(chosen([SOFTWARE], null, -1)).to.equal(SOFTWARE.name);
  });

  it('a part of a name chooses, in any case of letters, also a software renderer', () => {
    expect(chosen([GPU, OTHER, SOFTWARE], 'arc', 0)).to.equal(OTHER.name);
    expect(chosen([GPU, OTHER, SOFTWARE], 'swift', 0)).to.equal(SOFTWARE.name);
  });

  it('a name that none has is refused with those there are, and so is a machine without any', async () => {
    const unknown = await errorOf(Error, () => chooseAdapter([GPU, SOFTWARE], 'Tesla', 0));
    expect(unknown.message).to.equal(
      "no GPU's name contains 'Tesla' (webgpu.adapter); there are 'Radeon RX 7600' (vulkan), 'SwiftShader Device' (vulkan)",
    );
    expect((await errorOf(Error, () => chooseAdapter([], null, -1))).message).to.match(
      /^Dawn found no adapter; install/,
    );
  });
});

describe("Dawn's adapters", () => {
  it('are read from its error message and opened by name', async () => {
    const opened = await reportAdapters(dawnOf(['Quadro P400', 'llvmpipe (LLVM 15)']));
    expect(opened.map(({ name, api, isSoftware, isTaken }) => [name, api, isSoftware, isTaken])).to.deep.equal([
      ['Quadro P400', 'vulkan', false, true],
      ['llvmpipe (LLVM 15)', 'vulkan', true, false],
    ]);
    expect(opened[0]!.maxTensorBytes).to.equal(1000); // the less of a buffer and of what a kernel sees of it
    expect((await openAdapter(dawnOf(['A', 'B']), 'b')).report.name).to.equal('B');
  });

  it('are none where there is no driver', async () => {
    expect(await reportAdapters(dawnOf([]))).to.deep.equal([]);
  });
});

/** What Dawn does with flags, of machines with such GPUs. */
function dawnOf(names: readonly string[]): Dawn {
  const adapterOf = (device: string): GpuAdapter => ({
    info: { vendor: 'v', architecture: 'a', device, description: '' },
    limits: { maxBufferSize: 2000, maxStorageBufferBindingSize: 1000 } as GpuAdapter['limits'],
    requestDevice: () => expect.fail('no device is needed'),
  });
  const requestAdapter = (flags: readonly string[]): GpuAdapter | null => {
    const wanted = flags.find((flag) => flag.startsWith('adapter='))?.slice('adapter='.length) ?? '';
    const name = names.find((each) => each.includes(wanted));
    if (name !== undefined) return adapterOf(name);
    if (names.length === 0) return null;
    const list = names.map((each) => ` * backend: 'vulkan', name: '${each}'`).join('\n');
    throw new Error(`no suitable backends found\nAvailable adapters:\n${list}\n`);
  };
  return { globals: {}, create: (flags) => ({ requestAdapter: async () => Promise.resolve(requestAdapter(flags)) }) };
}
