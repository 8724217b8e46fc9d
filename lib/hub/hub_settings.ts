/** What the variables of the hub's own tools say about asking it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { causeText, shown } from '../../base/foreign_text.js';
import { given, hubHome, type Environment } from './cache/hub_cache.js';
import { HubError } from './errors.js';

/** Which hub is asked, as whom, and how patiently. */
export interface HubSettings {
  /** Address without a slash at its end. */
  readonly endpoint: string;
  /** Sent to that address and nowhere else. Undefined: nobody's. */
  readonly token: string | undefined;
  /** No hub may be asked. */
  readonly isOffline: boolean;
  /** Larger files come in chunks from the hub's storage, where it offers them so. Why: docs/decisions/hub.md#chunks-for-what-comes-no-other-way */
  readonly chunksAboveBytes: number;
  /** Files of a snapshot are links to blobs. */
  readonly mayLink: boolean;
  /** Longest silence of a server. */
  readonly timeoutMs: number;
  /** Before something is tried again for the first time; twice as long before each further one. */
  readonly retryDelayMs: number;
  /** A proxy is named that Node takes notice of only when it is told to. */
  readonly hasUnusedProxy: boolean;
}

/** Longer than that of the hub's Python library, as a busy machine may be slow, too. */
const TIMEOUT_S = 30;
const RETRY_DELAY_MS = 500;
/** The hub sends no larger files as a whole. */
const MAX_WHOLE_BYTES = 50e9;

/** Reads variables, and the file of the token. @throws HubError INVALID_SETTING */
export async function hubSettings(env: Environment): Promise<HubSettings> {
  const timeoutS = Number(env.HF_HUB_DOWNLOAD_TIMEOUT ?? '');
  return {
    endpoint: endpointOf(env),
    token: isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN) ? undefined : await tokenOf(env),
    isOffline: isTrue(env.HF_HUB_OFFLINE) || isTrue(env.TRANSFORMERS_OFFLINE),
    chunksAboveBytes: isTrue(env.HF_HUB_DISABLE_XET) ? Infinity : MAX_WHOLE_BYTES,
    mayLink: !isTrue(env.HF_HUB_DISABLE_SYMLINKS),
    timeoutMs: 1000 * (timeoutS > 0 && timeoutS < 1e6 ? timeoutS : TIMEOUT_S),
    retryDelayMs: RETRY_DELAY_MS,
    hasUnusedProxy: PROXIES.some((name) => (env[name] ?? '') !== '') && (env.NODE_USE_ENV_PROXY ?? '') !== '1',
  };
}

const PROXIES = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'];

/** As the hub's Python library reads variables. */
const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? '');

function endpointOf({ HF_ENDPOINT: text = '' }: Environment): string {
  if (text === '') return 'https://huggingface.co';
  const isUrl = /^https?:$/.test(URL.canParse(text) ? new URL(text).protocol : '');
  if (isUrl) return text.replace(/\/+$/, '');
  throw new HubError(
    'INVALID_SETTING',
    `HF_ENDPOINT is ${shown(text)}; give an address such as https://huggingface.co`,
  );
}

async function tokenOf(env: Environment): Promise<string | undefined> {
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN']) {
    const token = checkedToken(env[name] ?? '', name);
    if (token !== undefined) return token;
  }
  const file = given(env, 'HF_TOKEN_PATH') ?? join(hubHome(env), 'token');
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (/^(ENOENT|ENOTDIR)$/.test((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw new HubError(
      'INVALID_SETTING',
      `the token in ${file} can't be read (${causeText(error)}); mend it, or set HF_TOKEN`,
    );
  });
  return checkedToken(text, file);
}

/** @throws HubError INVALID_SETTING for what no header can carry; the token itself isn't told */
function checkedToken(text: string, where: string): string | undefined {
  const token = text.trim();
  if (token === '') return undefined;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new HubError(
    'INVALID_SETTING',
    `the token of ${where} has spaces or other characters that no token has; copy it again`,
  );
}
