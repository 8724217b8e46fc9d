/** What the native backend is made of, fetched by the clients of the two registries, which know this machine's mirrors, proxies and certificates. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TFJS_SCOPE, TFJS_VERSION } from '../../experts/native_folder.js';
import { NativeError } from './errors.js';
import { lastLines, runProgram } from './program.js';

/** A package of the npm registry, and the digest of its archive. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  readonly integrity: string;
}

/** The binding's source, and the JavaScript of the backend. */
export const TFJS_NODE: NpmPackage = {
  name: `${TFJS_SCOPE}/tfjs-node`,
  version: TFJS_VERSION,
  integrity: 'sha512-uHrXeUlfgkMxTZqHkESSV7zSdKdV0LlsBeblqkuKU9nnfxB1pC6DtoyYVaLxznzZy7WQSegjcohxxCjAf6Dc7w==',
};

/** What the backend's JavaScript needs besides TensorFlow.js's core. */
export const PROTOBUF: NpmPackage = {
  name: 'google-protobuf',
  version: '3.21.4',
  integrity: 'sha512-MnG7N936zcKTco4Jd2PX2U96Kf9PxygAPKBug+74LHzmHXmceN16MmRcdgZv+DGef/S9YvQAfRsNCn4cjf9yyQ==',
};

/** node_api.h, for a Node without headers beside it. */
export const NODE_HEADERS: NpmPackage = {
  name: 'node-api-headers',
  version: '1.5.0',
  integrity: 'sha512-Yi/FgnN8IU/Cd6KeLxyHkylBUvDTsSScT0Tna2zTrz8klmc8qF2ppj6Q1LHsmOueJWhigQwR4cO2p0XBGW5IaQ==',
};

/** The wheel that TensorFlow's library and its C headers come in. The library is the same for every Python; one must be named. */
export const TENSORFLOW_WHEEL = {
  name: 'tensorflow-cpu',
  version: '2.21.0',
  python: '3.12',
  abi: 'cp312',
  platform: 'manylinux_2_27_x86_64',
} as const;

/**
 * Unpacks a package of the npm registry into a folder, which is made; none of its scripts run.
 *
 * @param scratch a folder for the archive
 * @throws NativeError MISSING_PROGRAM, DOWNLOAD_FAILED
 */
export async function unpackNpmPackage(
  { name, version, integrity }: NpmPackage,
  target: string,
  scratch: string,
  signal: AbortSignal,
): Promise<void> {
  const spec = `${name}@${version}`;
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch, spec];
  const packed = await runProgram('npm', pack, { cwd: scratch, signal });
  if (packed.exitCode !== 0) throw downloadFailed(`npm can't fetch ${spec} (${lastLines(packed)})`);
  const [archive] = JSON.parse(packed.stdout) as [{ readonly filename: string; readonly integrity: string }];
  if (archive.integrity !== integrity) throw downloadFailed(`npm's registry sent another ${spec} than was published`);
  await mkdir(target, { recursive: true });
  const unpack = ['xzf', join(scratch, archive.filename), '-C', target, '--strip-components', '1'];
  const unpacked = await runProgram('tar', unpack, { signal });
  if (unpacked.exitCode !== 0) throw downloadFailed(`${spec} can't be unpacked (${lastLines(unpacked)})`);
}

/**
 * Fetches TensorFlow's wheel into a folder and returns its path. pip checks its digest.
 *
 * @throws NativeError MISSING_PROGRAM, DOWNLOAD_FAILED
 */
export async function fetchTensorflow(scratch: string, signal: AbortSignal): Promise<string> {
  const { name, version, python, abi, platform } = TENSORFLOW_WHEEL;
  const target = ['--python-version', python, '--implementation', 'cp', '--abi', abi, '--platform', platform];
  const what = ['--no-deps', '--only-binary=:all:', ...target, '--dest', scratch, `${name}==${version}`];
  const end = await runProgram('python3', ['-m', 'pip', 'download', '--progress-bar', 'off', ...what], { signal });
  if (end.stderr.includes('No module named pip')) {
    throw new NativeError('MISSING_PROGRAM', "python3 has no pip; install it, or name TensorFlow's folder with --from");
  }
  if (end.exitCode !== 0) throw downloadFailed(`pip can't fetch ${name} ${version} (${lastLines(end)})`);
  const wheel = (await readdir(scratch)).find((file) => file.endsWith('.whl'));
  if (wheel === undefined) throw downloadFailed(`pip fetched no wheel of ${name} ${version}`);
  return join(scratch, wheel);
}

const downloadFailed = (what: string): NativeError =>
  new NativeError('DOWNLOAD_FAILED', `${what}; check the network and the registry's configuration, or use --from`);
