/** The binaries that ship are what their sources in this repository compile to. */
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { allowRelaxedSimd } from '../../../../compute/wasm/memory/v8_flags.js';
import { repoRoot } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

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

describe('WebAssembly binaries', function () {
  this.timeout(60_000);

  it('are built for every module', () => {
    expect(NAMES).to.deep.equal([
      ...['comm/codec/codec', 'compute/wasm/kernels', 'compute/wasm/kernels_fma', 'bench/compute/stream'],
    ]);
  });

  for (const name of NAMES) {
    it(`${name}.wasm is what its sources compile to, to the byte, and imports what the kernels of threads need alone`, async () => {
      await withTempFolder(async (dir) => {
        const again = join(dir, 'again.wasm');
        const compiler = join(REPOSITORY, 'node_modules/assemblyscript/bin/asc.js');
        await promisify(execFile)(process.execPath, [compiler, ...ascArguments(name, again)], { cwd: REPOSITORY });
        const shipped = await readFile(join(REPOSITORY, `dist/${name}.wasm`));
        expect((await readFile(again)).equals(shipped)).to.equal(true);
        const imports = name.startsWith('compute/wasm/')
          ? [
              { module: 'env', name: 'memory', kind: 'memory' },
              ...['ring', 'checkHelpers'].map((each) => ({ module: 'parallel.as', name: each, kind: 'function' })),
            ]
          : [];
        expect(WebAssembly.Module.imports(new WebAssembly.Module(shipped))).to.have.deep.members(imports);
      });
    });
  }
});
