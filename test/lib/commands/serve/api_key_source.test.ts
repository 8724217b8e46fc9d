import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { readApiKeys, readClusterKeys } from '../../../../lib/commands/serve/api_key_source.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const fromEnv = (text: string): Promise<readonly string[]> => readApiKeys(undefined, { EXPERTWIRE_API_KEY: text });

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => expect.fail('no error'),
    (thrown: unknown) => thrown,
  );
  expect(error).to.be.instanceOf(UsageError);
  return (error as UsageError).message;
}

describe('API keys of a server', () => {
  it('come from the environment, with commas between them', async () => {
    expect(await fromEnv('one')).to.deep.equal(['one']);
    expect(await fromEnv(' one ,two,')).to.deep.equal(['one', 'two']);
    expect(await readApiKeys(undefined, {})).to.deep.equal([]);
  });

  it('or from a file, one a line, which comes first', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'keys');
      await writeFile(file, 'one\r\n\n  two,three\n');
      expect(await readApiKeys(file, { EXPERTWIRE_API_KEY: 'other' })).to.deep.equal(['one', 'two,three']);
      await writeFile(file, '\n');
      expect(await refusal(readApiKeys(file, {}))).to.include('has no key');
    }));

  it('that no header can carry, and places that have none, are refused', async () => {
    expect(await refusal(fromEnv(''))).to.include('EXPERTWIRE_API_KEY has no key');
    expect(await refusal(fromEnv('two words'))).to.include('which no header can carry');
    expect(await refusal(fromEnv('schlüssel'))).to.include('which no header can carry');
    expect(await refusal(readApiKeys('/no/such/file', {}))).to.include("can't be read");
  });

  it('of a cluster have a variable and an option of their own', async () => {
    const env = { EXPERTWIRE_API_KEY: 'api', EXPERTWIRE_CLUSTER_KEY: 'a,b' };
    expect(await readClusterKeys(undefined, env)).to.deep.equal(['a', 'b']);
    expect(await readClusterKeys(undefined, { EXPERTWIRE_API_KEY: 'api' })).to.deep.equal([]);
    expect(await refusal(readClusterKeys(undefined, { EXPERTWIRE_CLUSTER_KEY: ' ' }))).to.match(
      /^EXPERTWIRE_CLUSTER_KEY has no key/,
    );
    expect(await refusal(readClusterKeys('/no/such/file', {}))).to.match(/^--cluster-key-file .* can't be read/);
  });
});
