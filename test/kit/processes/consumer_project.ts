/** A project that has installed this package: the tarball of `npm pack`, its dependencies, and nothing else of this repository. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { repoRoot } from '../paths.js';

export const run = promisify(execFile);

/** As strict as compilers get, and every declaration that is reached is checked too. */
const TSCONFIG = {
  compilerOptions: {
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false },
    ...{ target: 'ES2022', module: 'NodeNext', types: ['node'], outDir: 'out', rootDir: '.' },
  },
  include: ['*.ts'],
};

/** Sets the project up in an empty folder outside of this repository. @param own packages that it has installed beside ours */
export async function createConsumer(dir: string, own: readonly string[] = []): Promise<void> {
  const root = repoRoot();
  const installed = join(dir, 'node_modules/expertwire');
  await mkdir(installed, { recursive: true });
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', dir];
  const env = { ...process.env, npm_config_update_notifier: 'false' };
  const { stdout } = await run('npm', pack, { cwd: root, env, maxBuffer: 2 ** 26 });
  const [{ filename }] = JSON.parse(stdout) as [{ readonly filename: string }];
  await run('tar', ['-xzf', join(dir, filename), '-C', installed, '--strip-components=1']);

  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  // What the project has installed for itself comes last.
  for (const name of [...Object.keys(manifest.dependencies), '@types/node', 'typescript', ...own]) {
    const link = join(dir, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(root, 'node_modules', name), link);
  }
  await writeFile(join(dir, 'package.json'), '{ "type": "module" }');
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(TSCONFIG));
}

/** Compiles the project's *.ts to out/. @throws Error with the compiler's words. */
export async function compile(dir: string): Promise<void> {
  await run(process.execPath, ['node_modules/typescript/bin/tsc'], { cwd: dir }).catch((error: unknown) => {
    throw new Error((error as { readonly stdout: string }).stdout);
  });
}
