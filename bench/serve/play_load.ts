/** A load of `bench serve` on a server, for benchmarks that want its records alone. */
import { OpenAiClient } from './client/openai_client.js';
import type { RequestRecord } from './figures/record.js';
import { parseOptions } from './options.js';
import { prepareLoad } from './prepare.js';
import { runLoad } from './run_load.js';

/** What came of it, in the order of sending. `args`: options of `bench serve`. @throws ServeBenchError */
export async function playLoad(
  url: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<readonly RequestRecord[]> {
  const options = parseOptions(['--url', url, ...args]);
  const { endpoint, timeoutMs } = options;
  const client = new OpenAiClient({ url: new URL(url), endpoint, timeoutMs, keepsText: false });
  try {
    const { plan } = await prepareLoad(options, client);
    return (await runLoad(plan, client, signal)).records;
  } finally {
    client.close();
  }
}
