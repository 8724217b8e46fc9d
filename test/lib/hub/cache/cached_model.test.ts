import { expect } from 'chai';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedModel, folderLikeHeads, pullAdvice } from '../../../../lib/hub/cache/cached_model.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const COMMIT = 'a'.repeat(40);
const OTHER = 'b'.repeat(40);

/** A cache with one model: snapshots, and which of them each revision is. */
async function writeCache(
  cache: string,
  snapshots: readonly string[],
  refs: Readonly<Record<string, string>>,
): Promise<void> {
  const repo = join(cache, 'models--org--name');
  for (const commit of snapshots) await mkdir(join(repo, 'snapshots', commit), { recursive: true });
  await mkdir(join(repo, 'refs'), { recursive: true });
  for (const [name, commit] of Object.entries(refs)) await writeFile(join(repo, 'refs', name), commit);
}

describe('a model in the hub’s cache', () => {
  const find = (cache: string, revision: string): string | null => cachedModel({ repo: 'org/name', revision }, cache);

  it('is found by branch, tag and commit', () =>
    withTempFolder(async (cache) => {
      await writeCache(cache, [COMMIT, OTHER], { main: COMMIT, v1: `${OTHER}\n` });
      const snapshots = join(cache, 'models--org--name', 'snapshots');
      expect(find(cache, 'main')).to.equal(join(snapshots, COMMIT));
      expect(find(cache, 'v1')).to.equal(join(snapshots, OTHER));
      expect(find(cache, OTHER)).to.equal(join(snapshots, OTHER));
    }));

  it('isn’t there where the revision is unknown, its snapshot was removed, or the file of the revision holds something else', () =>
    withTempFolder(async (cache) => {
      await writeCache(cache, [COMMIT], { main: OTHER, odd: '../../../etc' });
      for (const revision of ['main', 'odd', 'v1', OTHER]) expect(find(cache, revision), revision).to.equal(null);
      expect(cachedModel({ repo: 'org/other', revision: 'main' }, cache)).to.equal(null);
    }));

  it('advice is the command, and what else is there', () =>
    withTempFolder(async (cache) => {
      const name = { repo: 'org/name', revision: 'main' };
      expect(pullAdvice(name, cache)).to.equal('fetch it with `expertwire pull org/name`');
      await writeCache(cache, [COMMIT], {});
      expect(pullAdvice(name, cache)).to.contain(`or take what is there: org/name@${COMMIT}`);
      await writeCache(cache, [COMMIT], { v1: COMMIT, v2: OTHER });
      expect(pullAdvice(name, cache)).to.match(/there: org\/name@v1$/);
    }));

  it('a rank takes the head’s path, and its own cache’s snapshot of that commit where there is no such path', () =>
    withTempFolder(async (cache) => {
      await writeCache(cache, [COMMIT], {});
      const own = join(cache, 'models--org--name', 'snapshots', COMMIT);
      const heads = join('/elsewhere/hub/models--org--name/snapshots', COMMIT);
      expect(folderLikeHeads(own, '/no/cache')).to.equal(own);
      expect(folderLikeHeads(heads, cache)).to.equal(own);
      for (const lacking of [undefined, '/no/cache']) expect(folderLikeHeads(heads, lacking)).to.equal(heads);
      expect(folderLikeHeads('/no/model', cache)).to.equal('/no/model');
    }));
});
