/** Pods of a manifest as processes of this machine: what they are told is all that they know. */
import { expect } from 'chai';
import { jobManifest } from '../../../lib/kubernetes/manifests/ranks.js';
import { COMMAND, END_MS, expectGolden, expectQuietSuccess, LONG, SECRET } from '../../kit/processes/launch_site.js';
import { freePort } from '../../kit/processes/ports.js';
import { Processes, type Running } from '../../kit/processes/processes.js';

const processes = new Processes();

interface PodTemplate {
  readonly spec: {
    readonly containers: readonly [
      { readonly args: readonly string[]; readonly env: readonly { readonly name: string; readonly value?: string }[] },
    ];
  };
}

/** All pods of a job, each by what its template says; the port is a free one, since pods of one machine share addresses. */
async function pods(ranks: number, command: readonly string[]): Promise<readonly Running[]> {
  const settings = { name: 'moe', image: 'expertwire', secret: 'job', ranks, command: command.slice(1) };
  const job = jobManifest(settings).at(-1)!;
  const [{ args, env }] = (job.spec as { readonly template: PodTemplate }).template.spec.containers;
  const told = env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const]));
  const words = [args[0]!, '--head', `127.0.0.1:${await freePort()}`, ...args.slice(1)];
  return Array.from({ length: ranks }, (_, index) =>
    processes.cli(words, {
      env: { ...Object.fromEntries(told), ...SECRET, POD_IP: '127.0.0.1', JOB_COMPLETION_INDEX: String(index) },
    }),
  );
}

describe('pods of a job', function () {
  this.timeout(120_000);

  afterEach(processes.expectNone);

  it('write the golden text, and end well', async () => {
    const [head, ...others] = await pods(3, COMMAND);
    expectGolden(await head!.ended);
    for (const other of others) expectQuietSuccess(await other.ended);
  });

  it('all end, none well, when one of them is lost, and the head says which', async () => {
    const [head, second, third] = await pods(3, LONG);
    await head!.prints(/\w/);
    const killedMs = third!.signalGroup('SIGKILL');
    const ends = await Promise.all([head!.ended, second!.ended]);
    expect(ends.map(({ code }) => code)).to.deep.equal([1, 1]);
    expect(ends[0].stderr).to.match(/rank 2/);
    expect(Math.max(...ends.map(({ atMs }) => atMs)) - killedMs).to.be.below(END_MS);
  });
});
