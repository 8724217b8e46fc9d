import { expect } from 'chai';
import { isNews } from '../../../lib/job/local_ranks.js';

describe("a rank's log", () => {
  it("is shown without what TensorFlow's library and Dawn say on every start", () => {
    const lines = [
      'WARNING: All log messages before absl::InitializeLog() is called are written to STDERR',
      'I0000 00:00:1795457957.157687    4927 port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results',
      "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file: No such file or directory",
      '    at operator() (../third_party/dawn/src/dawn/native/vulkan/BackendVk.cpp:368)',
      '',
      'W0000 00:00:1795457957.157687    4927 gpu_device.cc:2431] Cannot dlopen some GPU libraries.',
      'turned away: a stranger',
    ];
    expect(lines.filter(isNews)).to.deep.equal(lines.slice(5));
  });
});
