import { expect } from 'chai';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { JobError } from '../../../../lib/jobs/base/errors.js';
import { allowedServer } from '../../../../lib/jobs/work/servers.js';
import type { TryContext } from '../../../../lib/jobs/worker/execution.js';
import { rebalance } from '../../../../lib/jobs/worker/rebalance.js';
import { errorOf } from '../../../kit/rejects.js';

const rights = { folder: '/x', models: [], canLoadCode: false, servers: ['https://gpu.example:8443'] };

describe('servers of jobs', () => {
  it('are those of this machine, and those that the worker’s owner named', async () => {
    for (const url of [
      'http://127.0.0.1:8000',
      'http://localhost/v1',
      'http://[::1]:8000',
      'https://gpu.example:8443/x',
    ])
      expect(allowedServer(url, rights)).to.deep.equal({ url, isNamed: url.includes('gpu') });
    for (const url of [
      'http://gpu.example:8443',
      'https://gpu.example',
      'http://169.254.169.254/',
      'file:///etc',
      'nope',
      'http://localhost.evil.example',
      'http://127.0.0.1:2375/containers/create?x=',
      'http://127.0.0.1:2375/x?',
      'http://127.0.0.1:2375/x#',
      'http://user:password@127.0.0.1:8000',
    ])
      expect((await errorOf(JobError, () => allowedServer(url, rights))).code, url).to.equal('NOT_ALLOWED');
  });

  it('are asked to plan anew, those that were named with the worker’s key, and what they answer is the value', async () => {
    const seen: unknown[] = [];
    const server = createServer((request, response) => {
      seen.push([request.method, request.url, request.headers.authorization]);
      const isFirst = seen.length === 1;
      response.writeHead(isFirst ? 200 : 409, { 'content-type': 'application/json' });
      response.end(isFirst ? '{"status":"done"}' : '{"error":"off"}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const lines: string[] = [];
      const context = {
        rights,
        apiKey: 'k',
        signal: new AbortController().signal,
        log: (line: string) => void lines.push(line),
      };
      const call = (servers: readonly string[] = []) =>
        rebalance({ kind: 'rebalance', url }, { ...context, rights: { ...rights, servers } } as unknown as TryContext);
      expect(await call([url])).to.deep.equal({ files: [], value: { status: 'done' } });
      expect(seen).to.deep.equal([['POST', '/experts/rebalance', 'Bearer k']]);
      expect((await errorOf(JobError, call)).message).to.match(/^TASK_FAILED: .* answers 409 .*see docs/);
      expect(seen[1]).to.deep.equal(['POST', '/experts/rebalance', undefined]);
      expect(lines).to.deep.equal(['200 {"status":"done"}', '409 {"error":"off"}']);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
