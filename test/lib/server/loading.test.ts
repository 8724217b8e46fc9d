import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { repoRoot } from '../../kit/paths.js';

const root = repoRoot();

/** What a file imports when it is loaded: types vanish, and `import()` comes later. */
function loadsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';$/gm)].map(([, name]) => {
    if (!name!.startsWith('.')) return name!;
    return relative(root, join(root, dirname(file), name!)).replace(/\.js$/, '.ts');
  });
}

describe('the web framework', () => {
  for (const entry of ['lib/index.ts', 'lib/commands/parser.ts']) {
    it(`is not loaded with ${entry}`, () => {
      const reached = new Set([entry]);
      for (const file of reached) if (file.endsWith('.ts')) for (const each of loadsOf(file)) reached.add(each);
      expect(reached).to.include('lib/head/engine.ts').and.not.include('fastify');
    });
  }

  it('is loaded with createServer', () => {
    expect(loadsOf('lib/server/create_server.ts')).to.include('fastify');
  });
});
