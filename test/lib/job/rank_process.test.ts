import { expect } from 'chai';
import { RankProcess, type RankExit } from '../../../lib/job/rank_process.js';

/** What it is told where nobody looks at it. */
const ORDER = {
  head: { host: '127.0.0.1', port: 1 },
  secret: '',
  joinTimeoutMs: 1,
  place: { seat: {}, devices: [], kernels: [] },
} as unknown as Parameters<RankProcess['begin']>[0]['order'];

/** Lines of a process that ran `script` to its end before it was told anything. */
async function endedOf(script: string): Promise<{ readonly exit: RankExit; readonly lines: readonly string[] }> {
  const process = new RankProcess(3, ['--eval', script, '--']);
  const exit = await process.exit;
  const lines: string[] = [];
  process.begin({ order: ORDER, onLine: (line) => lines.push(line) });
  return { exit, lines };
}

describe("a rank's process", function () {
  this.timeout(30_000);

  it('that ended before it was told anything has said why', async () => {
    const { exit, lines } = await endedOf(
      'console.error("no bundle\\nand no"); console.log("more"); process.exitCode = 7',
    );
    expect(exit).to.include({ rank: 3, code: 7, signal: null });
    expect([...lines].sort()).to.deep.equal(['and no', 'more', 'no bundle']);
  });

  it("isn't quoted with what TensorFlow's library and Dawn say on every start", async () => {
    const lines = [
      'WARNING: All log messages before absl::InitializeLog() is called are written to STDERR',
      'I0000 00:00:1795457957.157687    4927 port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results',
      "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file: No such file or directory",
      '    at operator() (../third_party/dawn/src/dawn/native/vulkan/BackendVk.cpp:368)',
      '',
      'W0000 00:00:1795457957.157687    4927 gpu_device.cc:2431] Cannot dlopen some GPU libraries.',
      'turned away: a stranger',
    ];
    const ended = await endedOf(`for (const line of ${JSON.stringify(lines)}) console.log(line)`);
    expect(ended.lines).to.deep.equal(lines.slice(5));
  });
});
