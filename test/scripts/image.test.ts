/** What the Dockerfile takes along, against what the package is. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VERSION } from '../../lib/config/package_files.js';
import { repoRoot } from '../kit/paths.js';

const textOf = (name: string): string => readFileSync(join(repoRoot(), name), 'utf8');
const DOCKERFILE = textOf('Dockerfile');
const { files, engines } = JSON.parse(textOf('package.json')) as {
  readonly files: readonly string[];
  readonly engines: { readonly node: string };
};

describe('the image', () => {
  it('has all that the package has', () => {
    const copied = [...DOCKERFILE.matchAll(/^COPY --from=build \S*\/(\S+) (\S+)$/gm)].map(([, from]) => from!);
    const wanted = files.filter((name) => !name.startsWith('!'));
    const lacking = wanted.filter(
      (name) => !copied.some((each) => name === each || name.startsWith(`${each}/`) || name.endsWith(each)),
    );
    expect(lacking).to.deep.equal([]);
  });

  it('is built from all that is compiled', () => {
    const taken = [...textOf('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, name]) => name);
    const { include } = JSON.parse(textOf('tsconfig.json')) as { readonly include: readonly string[] };
    expect(taken).to.include.members([
      'package-lock.json',
      'scripts',
      'bench',
      ...include.map((each) => each.split('/')[0]!),
    ]);
  });

  it('is called as manifests call it, on a Node that runs it', () => {
    expect(DOCKERFILE).to.contain(`docker build -t expertwire:${VERSION} .`);
    const [, node] = /^FROM node:(\d+)/m.exec(DOCKERFILE)!;
    expect(Number(node)).to.be.at.least(Number(/\d+/.exec(engines.node)![0]));
  });
});
