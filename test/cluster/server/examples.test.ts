import { expect } from 'chai';
import { join } from 'node:path';
import { Processes } from '../../kit/processes/processes.js';
import { pythonWith } from '../../kit/processes/python.js';
import { repoRoot } from '../../kit/paths.js';

const compiled = (name: string): string => join(repoRoot(), 'dist/examples', name);

describe('the examples', function () {
  this.timeout(60_000);
  const processes = new Processes();
  after(processes.expectNone);

  it('serve, and ask with clients in TypeScript and, where it is there, Python', async function () {
    const served = processes.start(process.execPath, [compiled('serve.js'), '0']);
    try {
      await served.prints(/^serving at \S+\n/m);
      const url = `${/^serving at (\S+)$/m.exec(served.stdout)![1]!}/v1`;

      const ours = await processes.start(process.execPath, [compiled('client.js'), url]).ended;
      expect(ours.stderr).to.equal('');
      expect(ours.stdout).to.match(
        /^model: moe-7m\n[\s\S]*\ntext: ", and I[^\n]*"\n(token \d: experts [\d,| ]+\n){7}$/,
      );

      const python = await pythonWith('openai');
      if (python === null) {
        console.log('      skipped: the client in Python needs python3 and its package openai');
        return;
      }
      const pythons = await processes.start(python, [join(repoRoot(), 'examples/client.py'), url]).ended;
      expect(pythons.stderr).to.equal('');
      expect(pythons.stdout).to.match(/\ntext: ', and I[^\n]*'\n(token '[^\n]*\n){4}experts of the last token: \[\[/);
      expect(pythons.stdout).to.match(/\nresponse: '[^\n]+' \(incomplete\)\nrefused: invalid_value, temperature\n$/);
    } finally {
      served.signal('SIGTERM');
      expect((await served.ended).code).to.equal(0);
    }
  });
});
