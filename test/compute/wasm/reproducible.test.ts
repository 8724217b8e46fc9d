/** The binaries that ship are what their sources in this repository compile to. */
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { allowRelaxedSimd } from '../../../compute/wasm/memory/v8_flags.js';
import { repoRoot } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: {
  readonly Module: (new (bytes: Uint8Array) => object) & { imports(module: object): readonly object[] };
};

const REPOSITORY = repoRoot();
const { MODULES, ascArguments } = (await import(join(REPOSITORY, 'scripts/wasm_modules.mjs'))) as {
  readonly MODULES: Readonly<Record<string, readonly string[]>>;
  readonly ascArguments: (module: string, output: string) => readonly string[];
};
allowRelaxedSimd();
const NAMES = Object.values(MODULES).flat();

/** All modules compiled at once into a folder: its files by module. */
async function compileAll(dir: string): Promise<ReadonlyMap<string, Buffer>> {
  const compiler = join(REPOSITORY, 'node_modules/assemblyscript/bin/asc.js');
  const compiled = NAMES.map(async (name, i) => {
    const again = join(dir, `${i}.wasm`);
    await promisify(execFile)(process.execPath, [compiler, ...ascArguments(name, again)], { cwd: REPOSITORY });
    return [name, await readFile(again)] as const;
  });
  return new Map(await Promise.all(compiled));
}

const MEMORY = { module: 'env', name: 'memory', kind: 'memory' };
const OF_THREADS = ['ring', 'checkHelpers'].map((name) => ({ module: 'parallel.as', name, kind: 'function' }));

describe('WebAssembly binaries', function () {
  this.timeout(180_000);
  let compiled: ReadonlyMap<string, Buffer>;

  before(() => withTempFolder(async (dir) => void (compiled = await compileAll(dir))));

  it('are built for every module', () => {
    expect(NAMES).to.deep.equal([
      ...['comm/codec/codec', 'compute/wasm/kernels', 'compute/wasm/kernels_fma', 'lib/model/random_fill'],
      'bench/compute/stream',
    ]);
  });

  for (const name of NAMES) {
    it(`${name}.wasm is what its sources compile to, to the byte, and imports memory and the kernels of threads at most`, async () => {
      const shipped = await readFile(join(REPOSITORY, `dist/${name}.wasm`));
      expect(compiled.get(name)!.equals(shipped)).to.equal(true);
      const memory = /^(bench|lib)\//.test(name) ? [] : [MEMORY];
      const imports = name.startsWith('compute/wasm/') ? [...memory, ...OF_THREADS] : memory;
      expect(WebAssembly.Module.imports(new WebAssembly.Module(shipped))).to.have.deep.members(imports);
    });
  }
});
