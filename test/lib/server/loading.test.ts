import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { repoRoot } from '../../kit/paths.js';

const root = repoRoot();

const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');

/** A file of ours, or a package. */
const target = (from: string, name: string): string =>
  name.startsWith('.') ? relative(root, join(root, dirname(from), name)).replace(/\.js$/, '.ts') : name;

/** What a file imports when it is loaded: types vanish, and `import()` comes later. */
const loadsOf = (file: string): string[] =>
  [...textOf(file).matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';$/gm)].map(([, name]) =>
    target(file, name!),
  );

/** What a file loads when it is needed. */
const laterOf = (file: string): string[] =>
  [...textOf(file).matchAll(/\bawait import\('([^']+)'\)/g)].map(([, name]) => target(file, name!));

/** All that is loaded with a file. */
function reachedFrom(file: string): ReadonlySet<string> {
  const reached = new Set([file]);
  for (const each of reached) if (each.endsWith('.ts')) for (const load of loadsOf(each)) reached.add(load);
  return reached;
}

const ENGINE = 'lib/head/engine.ts';

describe('the web framework', () => {
  it('is not loaded with lib/index.ts', () => {
    expect(reachedFrom('lib/index.ts')).to.include(ENGINE).and.not.include('fastify');
  });

  it('is loaded with no command but serve', () => {
    const commands = laterOf('lib/commands/commands.ts');
    const withOne = (what: string): string[] => commands.filter((file) => reachedFrom(file).has(what));
    const serve = 'lib/commands/serve/serve.ts';
    expect(withOne(ENGINE)).to.have.members([
      'lib/commands/chat/chat.ts',
      'lib/commands/generate/generate.ts',
      'lib/commands/score/score.ts',
      serve,
    ]);
    expect(withOne('fastify')).to.deep.equal([serve]);
    expect(reachedFrom('lib/commands/parser.ts')).to.include('lib/commands/commands.ts').and.not.include('fastify');
  });

  it('is loaded with createServer', () => {
    expect(reachedFrom('lib/server/create_server.ts')).to.include('fastify');
  });
});
