/**
 * A hub on this machine, for measuring and for tests: what huggingface.co answers to those who ask for a model, the list of its files and their bytes. Large files are answered
 * with a redirection to another address, as that of its CDN. Python's huggingface_hub and @huggingface/hub download from it.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerHub, answerStorage } from './hub_answers.js';
import type { HubOptions, HubRequest } from './hub_exchange.js';

/** A hub that listens. */
export interface ServedHub {
  readonly url: string;
  /** All so far. */
  readonly requests: readonly HubRequest[];
  close(): Promise<void>;
}

/** At free ports of this machine. */
export async function serveHub(options: HubOptions): Promise<ServedHub> {
  const requests: HubRequest[] = [];
  const urls = { hub: '', storage: '' };
  const servers = (['hub', 'storage'] as const).map((at) => {
    const server = createServer((request, response) => {
      const { method = 'GET', url = '/', headers } = request;
      const asked = { method, url, at, range: headers.range, authorization: headers.authorization };
      requests.push(asked);
      const fault = options.faultOf?.(asked);
      if (fault?.isSilent === true) return;
      if (fault?.status !== undefined) return void response.writeHead(fault.status, fault.headers).end(fault.text);
      response.on('error', () => undefined); // whoever asked went away
      const exchange = { request, response, url: new URL(url, urls[at]), fault, options, ...urls };
      void (at === 'hub' ? answerHub(exchange) : answerStorage(exchange));
    });
    return { at, server };
  });
  for (const { at, server } of servers) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    urls[at] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const close = async (): Promise<void> => {
    for (const { server } of servers) {
      const end = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await end;
    }
  };
  return { url: urls.hub, requests, close };
}
