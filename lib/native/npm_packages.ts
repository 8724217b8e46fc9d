/** What the native backend needs of the npm registry, through its own client. */
import { mkdir } from 'node:fs/promises';
import { TFJS_SCOPE, TFJS_VERSION } from '../../compute/tfjs/native/native_folder.js';
import { downloadFailed } from './pip.js';
import { lastLines } from './program.js';
import { runIn, scratchPath, type Workshop } from './workshop.js';

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

/**
 * Unpacks a package into a folder, which is made; none of its scripts run.
 *
 * @throws NativeError MISSING_PROGRAM, DOWNLOAD_FAILED; the signal's reason when it was aborted
 */
export async function unpackNpmPackage(
  { name, version, integrity }: NpmPackage,
  target: string,
  shop: Workshop,
): Promise<void> {
  const spec = `${name}@${version}`;
  const packed = await runIn(shop, 'npm', [
    ...['pack', '--json', '--ignore-scripts', '--pack-destination', shop.scratch, spec],
  ]);
  if (packed.exitCode !== 0) throw downloadFailed(`npm can't fetch ${spec} (${lastLines(packed)})`);
  const [archive] = JSON.parse(packed.stdout) as [{ readonly filename: string; readonly integrity: string }];
  if (archive.integrity !== integrity) throw downloadFailed(`npm's registry sent another ${spec} than was published`);
  await mkdir(target, { recursive: true });
  const unpack = ['xzf', scratchPath(shop, archive.filename), '-C', target, '--strip-components', '1'];
  const unpacked = await runIn(shop, 'tar', unpack);
  if (unpacked.exitCode !== 0) throw downloadFailed(`${spec} can't be unpacked (${lastLines(unpacked)})`);
}
