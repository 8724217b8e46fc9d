/** The certificates of a job, from the files that the configuration or the command line names. */
import { readFile } from 'node:fs/promises';
import { causeText } from '../../../base/foreign_text.js';
import type { TlsOptions } from '../../../comm/base/tls.js';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';

/** Undefined where no file is named. @throws ConfigError INVALID_VALUE where some are, NOT_FOUND for one that can't be read. */
export async function readTls(files: ExpertwireConfig['comm']['tls']): Promise<TlsOptions | undefined> {
  const { cert, key, ca } = files;
  if (cert === null && key === null && ca === null) return undefined;
  if (cert === null || key === null || ca === null) {
    const missing = Object.entries(files).flatMap(([name, file]) => (file === null ? [`comm.tls.${name}`] : []));
    const message = `TLS needs certificate, key and authority, but ${missing.join(' and ')} is not given; give all three or none`;
    throw new ConfigError('INVALID_VALUE', message, { key: missing[0] });
  }
  return { cert: await readPem('cert', cert), key: await readPem('key', key), ca: await readPem('ca', ca) };
}

async function readPem(name: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const why = causeText(cause);
    const message = `"comm.tls.${name}" is ${file}, which can't be read (${why}); give the path of a PEM file`;
    throw new ConfigError('NOT_FOUND', message, { key: `comm.tls.${name}`, cause });
  }
}
