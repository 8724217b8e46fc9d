import { expect } from 'chai';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as layouts from '../../../../compute/wasm/memory/layouts.js';
import { repoRoot } from '../../../kit/paths.js';

const FOLDER = join(repoRoot(), 'compute', 'wasm');
const TYPES: Readonly<Record<string, string>> = { usize: 'address', i32: 'i32', f32: 'f32', f64: 'f64' };

/** The unmanaged classes of the AssemblyScript sources: GqaLayer → GQA_LAYER with its fields in order. */
async function classesOf(): Promise<Map<string, (readonly [string, string])[]>> {
  const files = (await readdir(FOLDER, { recursive: true })).filter((name) => name.endsWith('.as.ts'));
  const sources = await Promise.all(files.map((name) => readFile(join(FOLDER, name), 'utf8')));
  const classes = new Map<string, (readonly [string, string])[]>();
  for (const [, name, body] of sources.join('\n').matchAll(/@unmanaged\s+export class (\w+) \{(.*?)\n\}/gs)) {
    const fields = [...body!.matchAll(/^ {2}(\w+): (\w+);$/gm)].map(
      ([, field, type]) => [field!, TYPES[type!]!] as const,
    );
    classes.set(name!.replace(/(?<=.)[A-Z]/g, '_$&').toUpperCase(), fields);
  }
  return classes;
}

/** `export const NAME: i32 = value;` of a source. */
async function constantsOf(file: string): Promise<Record<string, number>> {
  const source = await readFile(join(FOLDER, file), 'utf8');
  return Object.fromEntries(
    [...source.matchAll(/^export const (\w+): i32 = (\d+);$/gm)].map(([, name, value]) => [name!, Number(value)]),
  );
}

describe('descriptor layouts', () => {
  it('have the fields of the AssemblyScript classes, in their order and with their types', async () => {
    const classes = await classesOf();
    const named = Object.entries(layouts).filter(([, value]) => !Array.isArray(value));
    expect(named).to.have.length.above(0);
    for (const [name, layout] of named) expect(Object.entries(layout), name).to.deep.equal(classes.get(name));
    const written = [...classes.keys()].filter((name) => name !== 'MATRIX'); // kernel_matrix.ts writes it
    expect(written.sort()).to.deep.equal(named.map(([name]) => name).sort());
  });

  it('number alternatives as the AssemblyScript constants do', async () => {
    const numbered = [
      ['attention/rope.as.ts', layouts.ROPE_LAYOUTS],
      ['router/router.as.ts', layouts.SCORINGS],
      ['experts/activation.as.ts', layouts.ACTIVATIONS],
      ['attention/step.as.ts', layouts.MLA_FORMS],
    ] as const;
    for (const [file, names] of numbered) {
      const expected = Object.fromEntries(names.map((name, i) => [name.toUpperCase(), i]));
      expect(await constantsOf(file), file).to.deep.equal(expected);
    }
  });
});
