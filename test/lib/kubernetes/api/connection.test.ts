import { expect } from 'chai';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { connectionOf, type Connection, type ConnectionChoice } from '../../../../lib/kubernetes/api/connection.js';
import { KubernetesError } from '../../../../lib/kubernetes/api/errors.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** With two contexts. */
const config = (user: object, cluster: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Config',
  'current-context': 'here',
  contexts: [
    { name: 'here', context: { cluster: 'one', user: 'me', namespace: 'ai' } },
    { name: 'there', context: { cluster: 'two' } },
  ],
  clusters: [
    { name: 'one', cluster: { server: 'https://10.0.0.1:6443/', ...cluster } },
    { name: 'two', cluster: { server: 'http://127.0.0.1:8001' } },
  ],
  users: [{ name: 'me', user }],
});

function asked(content: object | string, choice: ConnectionChoice = {}): Promise<Connection> {
  let found: Promise<Connection>;
  return withTempFolder(async (dir) => {
    const path = join(dir, 'config');
    await writeFile(path, typeof content === 'string' ? content : stringify(content));
    await writeFile(join(dir, 'ca.pem'), 'CA of a file');
    await writeFile(join(dir, 'token'), 'of a file\n');
    found = connectionOf({ KUBECONFIG: path }, choice);
    const { token, ...rest } = await found;
    const said = await token?.();
    return { ...rest, ...(said !== undefined && { token: () => Promise.resolve(said) }) };
  });
}

const refusal = async (content: object | string, choice: ConnectionChoice = {}): Promise<string> =>
  (await errorOf(KubernetesError, () => asked(content, choice))).message;

describe('a connection to a cluster', () => {
  it('is that of the current context, with what is in the kubeconfig itself', async () => {
    const user = { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') };
    const { token, ...found } = await asked(config(user, { 'certificate-authority-data': base64('CA') }));
    expect(found).to.deep.include({
      server: 'https://10.0.0.1:6443',
      namespace: 'ai',
      ca: 'CA',
      cert: 'CERT',
      key: 'KEY',
    });
    expect(token).to.equal(undefined);
  });

  it('has files beside the kubeconfig, and the token of one', async () => {
    const cluster = { 'certificate-authority': 'ca.pem', 'tls-server-name': 'api', 'insecure-skip-tls-verify': true };
    const found = await asked(config({ tokenFile: 'token' }, cluster));
    expect(found).to.deep.include({ ca: 'CA of a file', serverName: 'api', isInsecure: true });
    expect(await found.token!()).to.equal('of a file');
  });

  it('is that of a context by name, in the namespace default where it says none', async () => {
    const found = await asked(config({ token: 't' }), { context: 'there' });
    expect(found).to.deep.include({ server: 'http://127.0.0.1:8001', namespace: 'default' });
  });

  it('is that of a pod’s service account within a cluster', () =>
    withTempFolder(async (dir) => {
      const folder = join(dir, 'account');
      await mkdir(folder);
      for (const [name, text] of [
        ['ca.crt', 'CA'],
        ['namespace', 'ai\n'],
        ['token', 'first\n'],
      ] as const)
        await writeFile(join(folder, name), text);
      const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
      const { token, ...found } = await connectionOf(env, {}, folder);
      expect(found).to.deep.equal({ server: 'https://[fd00::1]:6443', namespace: 'ai', ca: 'CA' });
      await writeFile(join(folder, 'token'), 'second\n');
      expect(await token!(), 'tokens are renewed').to.equal('second');
    }));

  for (const [what, content, pattern] of [
    ['no YAML', '{', /BAD_KUBECONFIG: .* is no YAML .*kubectl config view/],
    ['another file', 'clusters: 3', /is no kubeconfig \(clusters: .*\); look at it/],
    ['no current context', { contexts: [] }, /no current context; choose one with kubectl config use-context/],
    ['a context that is not there', { 'current-context': 'x', contexts: [] }, /no context x; give one of .* \(none\)/],
    ['a token of a program', config({ exec: { command: 'aws' } }), /another program.*kubectl proxy/],
    ['a file that is not there', config({ 'client-key': 'no.pem' }), /client-key can't be read at .*no\.pem \(ENOENT/],
  ] as const) {
    it(`tells of ${what}`, async () => expect(await refusal(content)).to.match(pattern));
  }

  it('tells which file it looked for', async () => {
    const error = await errorOf(KubernetesError, () => connectionOf({ HOME: '/nowhere' }, {}));
    expect(error.message).to.match(/the kubeconfig can't be read at \/nowhere\/\.kube\/config.*set KUBECONFIG/);
  });
});
