import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadPlugins } from '../../../lib/plugins/load_plugins.js';
import { repoRoot } from '../../kit/paths.js';

const FOLDER = join(repoRoot(), 'examples/plugins');
/** Lines that a plug-in of each kind should do with. */
const AIMS = { gates: 15, planners: 25, replicaChoices: 10, codecs: 25, families: 15, routingPolicies: 30 } as const;

/** Lines with code. */
const numLinesOf = (file: string): number =>
  readFileSync(join(FOLDER, file), 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('/**')).length;

describe('the examples of plug-ins', () => {
  const files = readdirSync(FOLDER);

  it('are of every kind, and as short as they should be', async () => {
    const kinds = new Set<string>();
    for (const file of files) {
      const { registry } = await loadPlugins([{ path: join(FOLDER, file), options: {} }]);
      for (const [kind, most] of Object.entries(AIMS)) {
        if (registry[kind as keyof typeof AIMS].size === 0) continue;
        kinds.add(kind);
        expect(numLinesOf(file), file).to.be.at.most(most);
      }
    }
    expect([...kinds].sort()).to.deep.equal(Object.keys(AIMS).sort());
  });

  it('are all in docs/plugins.md, with their lines', () => {
    const text = readFileSync(join(repoRoot(), 'docs/plugins.md'), 'utf8');
    const told = [...text.matchAll(/^\| \[(\w+\.mjs)\]\S+ +\| (\d+) /gm)].map(
      ([, file, lines]) => `${file!} ${lines!}`,
    );
    expect(told.sort()).to.deep.equal(files.map((file) => `${file} ${numLinesOf(file)}`).sort());
  });

  it('is the first thing that docs/plugins.md shows, to the letter but for comments', () => {
    const text = readFileSync(join(repoRoot(), 'docs/plugins.md'), 'utf8');
    const [, shown] = /```js\n([\s\S]*?)```/.exec(text)!;
    const example = readFileSync(join(FOLDER, 'top_p_gate.mjs'), 'utf8');
    expect(shown!.replace(/ \/\/ .*$/gm, '')).to.equal(example.slice(example.indexOf('/** @type')));
  });
});
