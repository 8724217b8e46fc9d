/**
 * The client of `bench engine --only http`: a process of its own, whose time on the processor is not the server's. One order comes as a message, one reply
 * goes back, and the process ends when its parent lets go of it.
 */
import process from 'node:process';
import { OpenAiClient } from '../serve/client/openai_client.js';
import { requestBody } from '../serve/client/request_body.js';
import { Slots } from '../serve/load/slots.js';
import type { Asked } from './followed.js';

/** What to ask of whom. */
export interface ClientOrder {
  readonly url: string;
  readonly model: string;
  readonly asked: readonly Asked[];
  readonly concurrency: number;
}

/** When the tokens of each answer came, by this process's clock; or why one failed. */
export type ClientReply = { readonly tokenMs: readonly (readonly number[])[] } | { readonly failure: string };

const TIMEOUT_MS = 600_000;

process.on('message', (order: ClientOrder) => {
  void obey(order).then((reply) => process.send!(reply));
});

async function obey({ url, model, asked, concurrency }: ClientOrder): Promise<ClientReply> {
  const options = {
    endpoint: 'completions',
    model,
    temperature: 0,
    ignoreEos: true,
    wantsTokenIds: false,
    extra: {},
  } as const;
  const client = new OpenAiClient({
    url: new URL(url),
    endpoint: 'completions',
    timeoutMs: TIMEOUT_MS,
    keepsText: false,
  });
  const slots = new Slots(concurrency);
  try {
    const exchanges = await Promise.all(
      asked.map(async ({ promptTokenIds, maxNewTokens }) => {
        const body = requestBody({ kind: 'tokens', tokenIds: Int32Array.from(promptTokenIds) }, maxNewTokens, options);
        await slots.take();
        return client.complete(body).finally(() => slots.give());
      }),
    );
    const failed = exchanges.find(({ failure }) => failure !== null);
    if (failed?.failure != null) return { failure: `${failed.failure.kind}: ${failed.failure.reason}` };
    return { tokenMs: exchanges.map(({ answer }) => answer!.chunkMs) };
  } finally {
    client.close();
  }
}
