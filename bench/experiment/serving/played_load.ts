/** A load of a run on a server: `bench serve` without its command line. */
import { loadArgs, type LoadDefaults, type LoadSettings } from '../../../lib/experiment/measures/load.js';
import type { ServeSettings } from '../../../lib/experiment/measures/serve.js';
import { OpenAiClient } from '../../serve/client/openai_client.js';
import { parseOptions, type ServeOptions } from '../../serve/options.js';
import { prepareLoad } from '../../serve/prepare.js';
import { resultOf, type ServeResult } from '../../serve/result.js';
import { runLoad } from '../../serve/run_load.js';

/** Any address: where a load is checked without a server. */
const NOWHERE = 'http://127.0.0.1';

/** What `bench serve` makes of a run's load and targets. @throws UsageError for what it can't ask */
export function serveOptions(
  load: LoadSettings,
  goodput: ServeSettings['goodput'],
  defaults: LoadDefaults,
  url = NOWHERE,
): ServeOptions {
  const targets = Object.entries(goodput ?? {}).map(([name, ms]) => `--goodput=${name.replace('_ms', '')}:${ms}`);
  const options = parseOptions([...loadArgs(load, defaults), '--url', url, ...targets]);
  // Chunks with ids tell of tokens that are no text yet, and answers are compared by them.
  const ids = options.endpoint === 'completions' ? { return_token_ids: true } : {};
  return { ...options, extraBody: { ...ids, ...options.extraBody } };
}

/** Plays it once. `onStart`: when the server has answered its first requests, and the load begins. @throws ServeBenchError */
export async function playedLoad(
  options: ServeOptions,
  signal: AbortSignal,
  onStart: () => Promise<void> = () => Promise.resolve(),
): Promise<ServeResult> {
  const { url, endpoint, timeoutMs } = options;
  const client = new OpenAiClient({ url, endpoint, timeoutMs, keepsText: true });
  try {
    const prepared = await prepareLoad(options, client);
    signal.throwIfAborted();
    await onStart();
    const run = await runLoad(prepared.plan, client, signal);
    signal.throwIfAborted();
    return resultOf(run, prepared, options);
  } finally {
    client.close();
  }
}
