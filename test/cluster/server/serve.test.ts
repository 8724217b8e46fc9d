import { expect } from 'chai';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { createAuthority } from '../../kit/comm/certificates.js';
import { expectFailure } from '../../kit/processes/command_line.js';
import { Processes, type Running } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const LONG = { prompt: 'Call me', max_tokens: 150, ignore_eos: true, stream: true };

describe('expertwire serve', function () {
  this.timeout(60_000);
  const processes = new Processes();
  afterEach(processes.expectNone);

  const serve = (args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Running =>
    processes.cli(['serve', '--model', DEMO_MODEL, '--port', '0', ...args], { env });

  const urlOf = async (served: Running): Promise<string> => {
    await served.prints(/^curl .*\n/m);
    return /^serving "\S+" at (\S+)\n/.exec(served.stdout)![1]!;
  };

  const complete = (url: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
    fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });

  it('prints its address and a line that works; SIGTERM lets what runs finish, refuses what is new, and ends with 0', async () => {
    const served = serve(['--ranks', '2']);
    const url = await urlOf(served);
    const line = processes.start('sh', ['-c', served.stdout.split('\n')[1]!.replace('curl', 'curl --silent')]);
    const tried = await line.ended;
    if (tried.code !== 127) expect(JSON.parse(tried.stdout)).to.have.property('object', 'text_completion'); // 127: no curl here

    const running = await complete(url, LONG);
    const reader = running.body!.getReader();
    await reader.read();
    served.signal('SIGTERM');
    await served.warns('finishing 1 request; another signal ends at once');
    const health = await fetch(`${url}/health`);
    expect(health.status).to.equal(503);
    const refused = await complete(url, { prompt: 'x' });
    expect([refused.status, await refused.json()]).to.have.nested.property('1.error.code', 'draining');
    let text = '';
    for (let read = await reader.read(); !read.done; read = await reader.read())
      text += Buffer.from(read.value).toString();
    expect(text).to.match(/"finish_reason":"length"[\s\S]*data: \[DONE\]\n\n$/);
    const { code, signal } = await served.ended;
    expect([code, signal]).to.deep.equal([0, null]);
  });

  it('Ctrl-C does the same; a second one ends at once', async () => {
    const served = serve();
    const url = await urlOf(served);
    const running = await complete(url, LONG);
    const reader = running.body!.getReader();
    await reader.read();
    served.signalGroup('SIGINT');
    await served.warns('finishing 1 request');
    served.signalGroup('SIGINT');
    expect((await served.ended).code).to.equal(130);
    await processes.allGone();
    await reader.cancel().catch(() => undefined);
  });

  it('asks for a key of the environment or a file, and speaks TLS', async () => {
    await withTempFolder(async (dir) => {
      const { cert, key } = createAuthority('a test').issue();
      await writeFile(join(dir, 'cert.pem'), cert);
      await writeFile(join(dir, 'key.pem'), key);
      const tls = ['cert', 'key'].flatMap((name) => ['--set', `server.tls.${name}=${join(dir, `${name}.pem`)}`]);
      const served = serve([...tls, '--served-model-name', 'small/moe'], { EXPERTWIRE_API_KEY: 'one, two' });
      const url = await urlOf(served);
      expect(url).to.match(/^https:/);
      const secure = `--cacert '${join(dir, 'cert.pem')}' -H "Authorization: Bearer \${EXPERTWIRE_API_KEY%%,*}"`;
      expect(served.stdout).to.include(secure);
      const statusFor = async (authorization: string): Promise<number> => {
        const request = httpsRequest(`${url}/v1/models/small%2Fmoe`, {
          headers: { authorization },
          rejectUnauthorized: false,
        });
        const [response] = (await once(request.end(), 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
        response.resume();
        return response.statusCode;
      };
      expect(await statusFor('Bearer two')).to.equal(200);
      expect(await statusFor('Bearer three')).to.equal(401);
      served.signal('SIGTERM');
      expect((await served.ended).code).to.equal(0);
    });
  });

  it('ends with 1 and says why when its only rank is killed, to clients too', async () => {
    const served = serve();
    const url = await urlOf(served);
    const reader = (await complete(url, { ...LONG, n: 16 })).body!.getReader();
    await reader.read();
    process.kill(processes.rank(0).pid, 'SIGKILL');
    let text = '';
    for (let read = await reader.read(); !read.done; read = await reader.read())
      text += Buffer.from(read.value).toString();
    expect(text).to.match(/"code":"engine_failed"/);
    const { code, stderr } = await served.ended;
    expect(code).to.equal(1);
    expect(stderr).to.match(/expertwire: RANK_LOST: /);
    await fetch(url).then(
      () => expect.fail('it still listens'),
      () => undefined,
    );
  });

  it('logs a lost rank once, and stderr is JSON alone', async () => {
    const served = serve(['--ranks', '2', '--set', 'comm.on_peer_loss=mask']);
    await urlOf(served);
    process.kill(processes.rank(1).pid, 'SIGKILL');
    await served.warns('"msg":"ranks were lost"');
    served.signal('SIGTERM');
    const { code, stderr } = await served.ended;
    expect(code).to.equal(0);
    const lines = stderr.trimEnd().split('\n');
    const said = lines.map((line) => JSON.parse(line) as { readonly level: number; readonly msg: string });
    expect(said.filter(({ level }) => level >= 40).map(({ msg }) => msg)).to.deep.equal(['ranks were lost']);
  });

  it('does not end well when its engine fails before all is finished that ran', async () => {
    const served = serve();
    const url = await urlOf(served);
    const running = await complete(url, { ...LONG, n: 16 });
    const reader = running.body!.getReader();
    await reader.read();
    served.signal('SIGTERM');
    await served.warns('finishing 1 request');
    process.kill(processes.rank(0).pid, 'SIGKILL');
    const { code, stderr } = await served.ended;
    expect(code).to.equal(143);
    expect(stderr).to.match(/the engine failed before the server ended: RANK_LOST: /);
    await reader.cancel().catch(() => undefined);
  });

  it('tells mistakes before ranks are started', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const [noPort, emptyKey, noFile, halfTls] = await Promise.all(
      [
        serve(['--port', `${port}`]),
        serve([], { EXPERTWIRE_API_KEY: ' ' }),
        serve(['--api-key-file', '/no/such/file']),
        serve(['--set', 'server.tls.cert=x.pem']),
      ].map(({ ended }) => ended),
    );
    taken.close();
    expectFailure(noPort!, 2, `port ${port} is already in use`, '--port');
    expectFailure(emptyKey!, 2, 'EXPERTWIRE_API_KEY has no key');
    expectFailure(noFile!, 2, "--api-key-file /no/such/file can't be read");
    expectFailure(halfTls!, 2, 'server.tls.key is not given');
  });
});
