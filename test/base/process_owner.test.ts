import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Writable } from 'node:stream';
import { isRunning, thisOwner } from '../../base/process_owner.js';

describe('a process that is known by name', () => {
  it('runs for as long as it can do anything: not when only its parent’s question is missing', async function () {
    if (!existsSync('/proc/self/stat')) this.skip();
    // A shell asks how its children ended; the sleep that it turns into never does.
    const stdio = ['ignore', 'pipe', 'ignore', 'pipe'] as const;
    const parent = spawn('sh', ['-c', 'cat <&3 & echo $!; exec sleep 60'], { stdio: [...stdio] });
    try {
      const [line] = (await once(parent.stdout!, 'data')) as [Buffer];
      const pid = Number(line.toString());
      const start = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[19]!;
      const isAsleep = (): boolean => readFileSync(`/proc/${parent.pid}/comm`, 'utf8').trim() === 'sleep';
      while (!isAsleep()) await new Promise(setImmediate);
      expect(await isRunning({ pid, start, host: hostname() })).to.equal(true);
      (parent.stdio[3] as Writable).end();
      while (await isRunning({ pid, start, host: hostname() })) await new Promise(setImmediate);
      expect(existsSync(`/proc/${pid}`)).to.equal(true);
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('is this one, and not an earlier one of its number', async () => {
    const owner = await thisOwner();
    expect(await isRunning(owner)).to.equal(true);
    if (owner.start !== '0') expect(await isRunning({ ...owner, start: `${Number(owner.start) - 1}` })).to.equal(false);
    expect(await isRunning({ ...owner, host: 'elsewhere' })).to.equal(null);
  });
});
