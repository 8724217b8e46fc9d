import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { repoRoot } from './kit/paths.js';

/** What each folder may import of the others: one arrow, lib → experts → comm and compute → base; benchmarks stand on top. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  comm: ['base'],
  compute: ['base', 'comm', 'experts'],
  experts: ['base', 'comm', 'compute'],
  lib: ['base', 'comm', 'compute', 'experts'],
  bench: ['base', 'comm', 'compute', 'experts', 'lib'],
};

const root = repoRoot();

const sourcesOf = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name).split(sep).join('/'));

/** Import specifiers of a file, static, dynamic and re-exported. */
const importsOf = (file: string): string[] => {
  const text = readFileSync(join(root, file), 'utf8');
  const pattern = /(?:from|import)\s*\(?\s*'([^']+)'/g;
  return [...text.matchAll(pattern)].map((match) => match[1]!);
};

/** The file a relative specifier means, from the root. */
const targetOf = (file: string, specifier: string): string =>
  relative(root, resolve(root, dirname(file), specifier))
    .split(sep)
    .join('/')
    .replace(/\.js$/, '.ts');

const files = Object.keys(MAY_IMPORT).flatMap(sourcesOf);

/** File → the files that it loads at run time, at once. */
const graph = new Map(
  files.map((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    // Type-only imports vanish at compile time.
    const runtime = text.replace(/^(?:import|export) type [\s\S]*?;$/gm, '');
    const specifiers = [...runtime.matchAll(/^(?:import|export)[\s\S]*?from '(\.[^']+)';$/gm)];
    return [file, specifiers.map((match) => targetOf(file, match[1]!))];
  }),
);

describe('the import law', () => {
  it('lib → experts → comm and compute → base, and nothing back', () => {
    const broken: string[] = [];
    for (const [folder, allowed] of Object.entries(MAY_IMPORT)) {
      for (const file of sourcesOf(folder)) {
        for (const specifier of importsOf(file).filter((name) => name.startsWith('.'))) {
          const target = targetOf(file, specifier);
          const other = target.split('/')[0]!;
          const edge = `${file} → ${target}`;
          if (other !== folder && !allowed.includes(other)) broken.push(edge);
        }
      }
    }
    expect(broken).to.deep.equal([]);
  });

  it('TensorFlow.js is imported in one file alone', () => {
    const importers = Object.keys(MAY_IMPORT)
      .flatMap(sourcesOf)
      .filter((file) => readFileSync(join(root, file), 'utf8').includes("'@tensorflow/"));
    expect(importers).to.deep.equal(['compute/tfjs/library/tfjs.ts']);
  });

  it('the head loads no TensorFlow.js', () => {
    const reached = new Set<string>(['lib/head/engine.ts']);
    for (const file of reached) for (const target of graph.get(file) ?? []) reached.add(target);
    expect(reached).to.include('lib/head/scheduling/scheduler.ts').and.not.include('compute/tfjs/library/tfjs.ts');
  });

  it('no file imports itself in a circle', () => {
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      if (done.has(file) || path.includes(file)) return;
      for (const target of graph.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(circles).to.deep.equal([]);
  });

  it('only lib/cli.ts reads the environment, ends the process or writes to the console', () => {
    const culprits = Object.keys(MAY_IMPORT)
      .flatMap(sourcesOf)
      .filter((file) => /process\.(env|exit\b|exitCode)|console\./.test(readFileSync(join(root, file), 'utf8')));
    expect(culprits).to.deep.equal(['lib/cli.ts']);
  });
});
