import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { greeting, type Greeted } from '../../../../lib/commands/serve/greeting.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const run = promisify(execFile);

const OPEN: Greeted = {
  ...{ url: 'http://127.0.0.1:8000', model: 'moe', hasTokenizer: true },
  ...{ numKeys: 0, apiKeyFile: undefined, certFile: null },
};

/** What a shell makes of the line that is to be tried: the arguments of curl. */
async function argumentsOf(server: Greeted, env: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const script = `curl() { printf '%s\\n' "$@"; }\n${greeting(server).split('\n')[1]!}`;
  const { stdout } = await run('sh', ['-c', script], { env: { PATH: process.env.PATH, ...env } });
  return stdout.trimEnd().split('\n');
}

const body = (prompt: unknown): string => JSON.stringify({ model: 'moe', prompt, max_tokens: 16 });
const JSON_TYPE = ['-H', 'Content-Type: application/json'];

describe('the line to try a server with', () => {
  it('asks for a completion, of tokens where there is no tokenizer', async () => {
    const rest = (prompt: unknown): string[] => [
      'http://127.0.0.1:8000/v1/completions',
      ...JSON_TYPE,
      '-d',
      body(prompt),
    ];
    expect(await argumentsOf(OPEN)).to.deep.equal(rest('Call me'));
    expect(await argumentsOf({ ...OPEN, hasTokenizer: false })).to.deep.equal(rest([1, 2, 3]));
  });

  it('sends the key of the environment, the first of several', async () => {
    for (const [numKeys, keys] of [
      [1, 'abc'],
      [2, 'abc,def'],
    ] as const) {
      const args = await argumentsOf({ ...OPEN, numKeys }, { EXPERTWIRE_API_KEY: keys });
      expect(args).to.include('Authorization: Bearer abc');
    }
  });

  it('sends the first key of a key file, wherever the file is', async () => {
    await withTempFolder(async (folder) => {
      const apiKeyFile = join(folder, "it's keys.txt");
      writeFileSync(apiKeyFile, '\n abc\r\ndef\n');
      expect(await argumentsOf({ ...OPEN, numKeys: 2, apiKeyFile })).to.include('Authorization: Bearer abc');
    });
  });

  it('trusts the certificate of the server', async () => {
    const args = await argumentsOf({ ...OPEN, certFile: '/etc/my certs/c.pem' });
    expect(args.join(' ')).to.include('--cacert /etc/my certs/c.pem');
  });

  it('holds quotes of a name together', async () => {
    const args = await argumentsOf({ ...OPEN, model: "it's" });
    expect(args.at(-1)).to.include('"model":"it\'s"');
  });
});
