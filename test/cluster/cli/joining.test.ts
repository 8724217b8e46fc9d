/** The command line as a user meets it: what keeps ranks of other machines out is told on both sides. */
import { expect } from 'chai';
import { tinyGolden } from '../../kit/model/goldens.js';
import { changeTensors, copyModel } from '../../kit/model/model_copy.js';
import { tinyModel } from '../../kit/paths.js';
import { closeServer, freePort, listenOn, portOf } from '../../kit/processes/ports.js';
import { CLI, Processes } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { commandLine, expectFailure, expectSuccess, json, ids } from '../../kit/processes/command_line.js';

const processes = new Processes();
const expertwire = commandLine(processes);
const QWEN = tinyModel('tiny-qwen3-moe');
const SECRET = { env: { EXPERTWIRE_JOB_SECRET: 'a secret of this test' } };

describe('a job that ranks of other machines join', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const headArgs = (port: number): string[] => [
    ...['generate', '--model', QWEN, '--prompt-ids', ids(tinyGolden('tiny-qwen3-moe').prompt_token_ids), '--json'],
    ...['--max-new-tokens', '24', '--ignore-eos', '--ranks', '1', '--listen', `127.0.0.1:${port}`, '--wait-ranks', '1'],
  ];
  const rankArgs = (port: number): string[] => ['rank', '--head', `127.0.0.1:${port}`];

  it('a port in use: exit code 1 and the address', async () => {
    const server = await listenOn(0);
    try {
      expectFailure(
        await expertwire(headArgs(portOf(server)), SECRET),
        1,
        'ADDRESS_IN_USE',
        `127.0.0.1:${portOf(server)}`,
      );
    } finally {
      await closeServer(server);
    }
  });

  it('a rank with a wrong secret is refused, and the head goes on waiting for a right one', async () => {
    const port = await freePort();
    const head = processes.cli(headArgs(port), SECRET);
    const wrong = await expertwire(rankArgs(port), { env: { EXPERTWIRE_JOB_SECRET: 'another' } });
    expectFailure(wrong, 1, 'AUTH_FAILED', 'secret');
    const right = await expertwire(rankArgs(port), SECRET);
    expectSuccess(right);
    const { code, stdout, stderr } = await head.ended;
    expect(stderr).to.match(
      /^waiting at 127\.0\.0\.1:\d+ for 1 rank of other machines\na rank was turned away: AUTH_FAILED: .*\n$/,
    );
    expect(code).to.equal(0);
    expect(json(stdout.split('\n')[0]!).token_ids).to.deep.equal(tinyGolden('tiny-qwen3-moe').greedy_token_ids);
  });

  it('a rank with another checkpoint ends the job on both sides: one byte of one dense tensor is enough', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(QWEN, dir);
      await changeTensors(dir, (tensor) => {
        if (tensor.name !== 'model.norm.weight') return tensor;
        const bytes = Uint8Array.from(tensor.bytes);
        bytes[0]! ^= 1;
        return { ...tensor, bytes };
      });
      const port = await freePort();
      const head = processes.cli(headArgs(port), SECRET);
      const rank = await expertwire([...rankArgs(port), '--model', dir], SECRET);
      expectFailure(rank, 1, 'FINGERPRINT_MISMATCH');
      expectFailure(await head.ended, 1, 'FINGERPRINT_MISMATCH', /rank 0.*rank 1|rank 1.*rank 0/);
    });
  });

  it('a rank whose model folder is missing is named by the head', async () => {
    const port = await freePort();
    const head = processes.cli(headArgs(port), SECRET);
    const rank = await expertwire([...rankArgs(port), '--rank', '1', '--model', '/no/model'], SECRET);
    expectFailure(rank, 1, 'MODEL_NOT_FOUND', '/no/model');
    expectFailure(await head.ended, 1, /^expertwire: MODEL_NOT_FOUND: rank 1 on /, '/no/model');
  });

  it('ranks for whose pipes no file can be opened are told as such', async () => {
    const nobody = await freePort();
    const command = [process.execPath, '--no-warnings', CLI, ...rankArgs(nobody), '--nproc', '16'];
    const few = processes.start('sh', ['-c', 'ulimit -n 64; exec "$@"', 'sh', ...command], SECRET);
    const ended = await few.ended;
    expectFailure(ended, 1, 'RANK_LOST', 'last words are above');
    expect(ended.stderr).to.match(/^\[rank \?\] its process can't be started \(.*EMFILE\); raise .*ulimit -n/m);
  });
});
