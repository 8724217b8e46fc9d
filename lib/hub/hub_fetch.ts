/** How a hub is asked: who asks, what is tried again, and what its refusals mean. */
import { setTimeout as delay } from 'node:timers/promises';
import { causeText, printable } from '../../base/foreign_text.js';
import { VERSION } from '../config/package_files.js';
import { HubError } from './errors.js';
import type { HubSettings } from './hub_settings.js';

/** One conversation with a hub. */
export interface HubTalk extends HubSettings {
  /** ORG/NAME, for what is said of it. */
  readonly repo: string;
  readonly signal: AbortSignal;
}

/** After the first. */
const MAX_RETRIES = 4;
/** What a server may ask us to wait. */
const MAX_RETRY_AFTER_S = 60;
const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Nothing is left of the range that was asked for: whoever asked knows what to do. */
const RANGE_NOT_SATISFIABLE = 416;

/**
 * `fetch` as the hub's library takes it. The token goes to the hub's address alone: not to where it redirects, which has a signature of its own. What may pass is tried again.
 *
 * @param retriesBreaks whether that is done here where there is no answer, too
 * @throws HubError UNREACHABLE, HUB_FAILED, NO_REPOSITORY, NO_REVISION, NO_FILES, GATED, BAD_TOKEN; the signal's reason
 */
export const hubFetch =
  (talk: HubTalk, retriesBreaks = true): typeof fetch =>
  async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    for (let numTried = 0; ; numTried++) {
      const outcome = await tryOnce(talk, url, init);
      if (outcome instanceof Response) return outcome;
      const isBreak = outcome.error.code === 'UNREACHABLE';
      if (numTried === MAX_RETRIES || (isBreak && !retriesBreaks)) throw outcome.error;
      await pause(talk, numTried, outcome.afterMs);
    }
  };

/** Before something is tried again; `numTried`: how often it was, before. @throws the signal's reason */
export async function pause({ retryDelayMs, signal }: HubTalk, numTried: number, atLeastMs = 0): Promise<void> {
  await delay(Math.max(atLeastMs, retryDelayMs * 2 ** numTried), undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
}

/** Something that may pass. */
interface Transient {
  readonly error: HubError;
  readonly afterMs?: number;
}

async function tryOnce(talk: HubTalk, url: URL, init: RequestInit = {}): Promise<Response | Transient> {
  const { endpoint, token, timeoutMs, signal } = talk;
  const headers = new Headers(init.headers);
  const isHubs = url.origin === new URL(endpoint).origin;
  headers.set('User-Agent', `expertwire/${VERSION}`);
  if (isHubs && token !== undefined && !headers.has('Authorization')) headers.set('Authorization', `Bearer ${token}`);
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Error(`no answer for ${timeoutMs / 1000} s`)), timeoutMs);
  try {
    const ending = AbortSignal.any([signal, silence.signal]);
    const response = await fetch(url, { ...init, ...withHttp1(), headers, signal: ending });
    return isHubs ? await judged(talk, response) : response; // the library knows what its storage says
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof HubError) throw cause;
    return { error: unreachable(talk, url.origin, cause) };
  } finally {
    clearTimeout(timer);
  }
}

/**
 * From Node 26 on, `fetch` speaks HTTP/2, with a window of 256 KiB for each answer: 3.5 MB/s from a server 75 ms away. Node's own connections are asked for HTTP/1.1 then, whose windows grow.
 * They are made by the first request, which is a small one. Source: @huggingface/hub, utils/XetBlob.ts.
 */
function withHttp1(): object {
  const [major = '0'] = (process.versions.undici ?? '').split('.');
  const known = globalThis as unknown as Readonly<Record<symbol, Dispatcher | undefined>>;
  const base = Number(major) < 8 ? undefined : known[Symbol.for('undici.globalDispatcher.2')];
  if (base === undefined) return {};
  const dispatch: Dispatcher['dispatch'] = (options, handler) => base.dispatch({ ...options, allowH2: false }, handler);
  return { dispatcher: { dispatch } };
}

/** What makes connections for `fetch`. */
interface Dispatcher {
  dispatch(options: object, handler: unknown): boolean;
}

async function judged(talk: HubTalk, response: Response): Promise<Response | Transient> {
  const { status, headers } = response;
  if (response.ok || status === RANGE_NOT_SATISFIABLE) return response;
  const said = await saidBy(response);
  const isElsewhere = new URL(response.url).origin !== new URL(talk.endpoint).origin; // a signature that is out of date, say
  if (!TRANSIENT.has(status) && !isElsewhere) throw refusal(talk, status, headers.get('X-Error-Code') ?? '', said);
  const afterMs = 1000 * Math.min(MAX_RETRY_AFTER_S, Number(headers.get('Retry-After') ?? '0') || 0);
  const where = isElsewhere ? ` from ${new URL(response.url).origin}` : '';
  return { error: failed(talk, `answered ${status}${where}${said}`, 'try again later'), afterMs };
}

/** In the hub's own words, which may be a page of HTML. */
async function saidBy(response: Response): Promise<string> {
  const text = response.headers.get('X-Error-Message') ?? (await response.text().catch(() => ''));
  const isPage = /^\s*</.test(text);
  return text === '' || isPage ? '' : ` (${printable(text.trim())})`;
}

function refusal(talk: HubTalk, status: number, code: string, said: string): HubError {
  const { endpoint, repo, token } = talk;
  const asWhom = token === undefined ? 'without a token' : 'with this token';
  if (code === 'GatedRepo')
    return new HubError(
      'GATED',
      `${repo} is open to those who accepted its terms, and not ${asWhom}${said}; accept them at ${endpoint}/${repo} and set HF_TOKEN to a token of that account`,
    );
  if (code === 'RevisionNotFound')
    return new HubError(
      'NO_REVISION',
      `${repo} has no such revision${said}; see ${endpoint}/${repo}/tree/main for those that it has`,
    );
  if (code === 'EntryNotFound')
    return new HubError('NO_FILES', `${repo} lacks a file that it listed${said}; pull again`);
  if (status === 401 && /credentials|expired|token/i.test(said))
    return new HubError('BAD_TOKEN', `${endpoint} refuses the token${said}; set HF_TOKEN to a valid one, or unset it`);
  if (code === 'RepoNotFound' || status === 401 || status === 404)
    return new HubError(
      'NO_REPOSITORY',
      `${endpoint} has no model ${repo} that can be seen ${asWhom}${said}; check the name, and set HF_TOKEN if it is private`,
    );
  if (status === 403)
    return new HubError(
      'BAD_TOKEN',
      `${endpoint} forbids ${repo} ${asWhom}${said}; set HF_TOKEN to a token that may read it`,
    );
  return failed(talk, `answered ${status}${said}`, 'check HF_ENDPOINT, or try again later');
}

/** What a hub can't do. */
export const failed = (
  { endpoint, repo }: Pick<HubTalk, 'endpoint' | 'repo'>,
  what: string,
  advice: string,
): HubError => new HubError('HUB_FAILED', `asked for ${repo}, ${endpoint} ${what}; ${advice}`);

function unreachable({ repo, hasUnusedProxy }: HubTalk, origin: string, cause: unknown): HubError {
  const advice = hasUnusedProxy
    ? 'a proxy is set, which Node takes notice of with NODE_USE_ENV_PROXY=1 (Node 22.21 or 24)'
    : `check the network and HF_ENDPOINT; if the cache has it already, --model ${repo} works without`;
  return new HubError('UNREACHABLE', `${origin} can't be reached (${rootText(cause)}); ${advice}`, { cause });
}

/** What `fetch failed` means. */
export function rootText(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return rootText(cause.errors[0]);
  return cause instanceof Error && cause.cause instanceof Error ? rootText(cause.cause) : causeText(cause);
}
