import { expect } from 'chai';
import { join } from 'node:path';
import {
  modelNameOf,
  modelNameText,
  parseModelName,
  repoFolder,
  snapshotName,
} from '../../../../lib/hub/cache/model_name.js';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';

describe('names of models', () => {
  it('are ORG/NAME, with a revision or without', () => {
    expect(parseModelName('Qwen/Qwen3-30B-A3B')).to.deep.equal({ repo: 'Qwen/Qwen3-30B-A3B', revision: 'main' });
    expect(parseModelName('a/b.c_d@v1.0')).to.deep.equal({ repo: 'a/b.c_d', revision: 'v1.0' });
    expect(parseModelName('a/b@refs/pr/3')).to.deep.equal({ repo: 'a/b', revision: 'refs/pr/3' });
    expect(parseModelName(`a/b@${COMMIT}`)).to.deep.equal({ repo: 'a/b', revision: COMMIT });
  });

  it('are told from paths, and from what would lead out of a cache', () => {
    const others = [
      'b',
      'a/b/c',
      '/a/b',
      './b',
      '../b',
      'a/',
      '/b',
      'a/..',
      'a/.b',
      'a/b.',
      '-a/b',
      'a--b/c',
      'a/b..c',
    ];
    const wrong = [
      'a/b@',
      'a/b@../x',
      'a/b@x/../../y',
      'a/b@/x',
      'a/b@x/',
      'a/b@x y',
      'a/b.git',
      `a/${'b'.repeat(97)}`,
    ];
    for (const text of [...others, ...wrong]) expect(parseModelName(text), text).to.equal(null);
  });

  it('are written as they are read', () => {
    for (const text of ['a/b', 'a/b@v1', `a/b@${COMMIT}`]) expect(modelNameText(parseModelName(text)!)).to.equal(text);
  });

  it('are found in the path of a snapshot again', () => {
    const snapshot = join('/cache', repoFolder('an-org/a-name'), 'snapshots', COMMIT);
    expect(snapshotName(snapshot)).to.deep.equal({ repo: 'an-org/a-name', revision: COMMIT });
    expect(modelNameOf(snapshot)).to.equal('an-org/a-name');
  });

  it('are folders’ names elsewhere', () => {
    expect(modelNameOf('/models/moe-7m')).to.equal('moe-7m');
    for (const path of [
      `/cache/models--a--b/blobs/${COMMIT}`,
      '/cache/models--a--b/snapshots/main',
      `/c/a/snapshots/${COMMIT}`,
    ])
      expect(snapshotName(path), path).to.equal(null);
  });
});
