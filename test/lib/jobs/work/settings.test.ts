import { expect } from 'chai';
import { keyInfoOf, keysAt } from '../../../../lib/config/schema.js';
import { kindOfSetting } from '../../../../lib/jobs/work/settings.js';

/** All keys that lead somewhere, from a section down. */
const pathKeys = (path: readonly string[] = []): readonly (readonly string[])[] =>
  keysAt(path).flatMap((key) => {
    const at = [...path, key];
    return keysAt(at).length > 0
      ? pathKeys(at)
      : /\b(path|file|folder)\b/.test(keyInfoOf(at)?.allowed ?? '')
        ? [at]
        : [];
  });

describe('settings of jobs', () => {
  it('that are paths of files and folders are looked at, or may not be set', () => {
    const paths = pathKeys();
    expect(paths.map((path) => path.join('.'))).to.include.members([
      ...['model', 'experts.placement', 'experts.routing', 'comm.tls.key', 'cluster.nats.credentials'],
      ...['server.journal', 'server.record_dir', 'server.batches.folder'],
    ]);
    expect(paths.filter((path) => kindOfSetting(path) === 'text').map((path) => path.join('.'))).to.deep.equal([]);
  });
});
