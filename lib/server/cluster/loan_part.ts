/** Blocks by their keys, over HTTP: how another instance reads what this one computed. Why: docs/decisions/kv_store.md#who-may-borrow */
import type { FastifyRequest } from 'fastify';
import type { Loan } from '../../head/kv/loan.js';
import type { ServerApp, ServerContext } from '../base/part.js';
import { bearerOf } from '../http/api_keys.js';
import { clientSignal } from '../http/client_signal.js';
import { fetchBody, keyOfHex, loanPath, matchBody } from './loan_messages.js';
import { holderIn } from './request_terms.js';
import type { ServedCluster } from './served_cluster.js';

/** Its token is a loan's key. */
const OWN_KEY = { access: 'open', isForDraining: true } as const;

/** POST /v1/kv/match and /v1/kv/fetch; of /v1/kv/loans/ID: POST renew and release. */
export function loanRoutes(app: ServerApp, { ending }: Pick<ServerContext, 'ending'>, cluster: ServedCluster): void {
  const { loans, engine } = cluster;
  const find = ({ params, headers }: Pick<FastifyRequest<{ Params: { id: string } }>, 'params' | 'headers'>): Loan =>
    loans.find(params.id, bearerOf(headers.authorization));
  const match = { config: { access: 'cluster', isForDraining: true }, schema: { body: matchBody } } as const;
  app.post('/v1/kv/match', match, ({ body }) => loans.match(body));
  const fetch = { config: { access: 'cluster' }, schema: { body: fetchBody } } as const;
  app.post('/v1/kv/fetch', fetch, async ({ body }, reply) => {
    const holders = body.holders.flatMap((url) => cluster.holderAt(holderIn(url, cluster)) ?? []);
    const num_blocks = await engine.fetch(body.keys.map(keyOfHex), holders, clientSignal(reply, ending));
    return { num_blocks };
  });
  const own = { config: OWN_KEY, schema: { params: loanPath } };
  app.post('/v1/kv/loans/:id/renew', own, (request) => {
    find(request).renew();
    return {};
  });
  app.post('/v1/kv/loans/:id/release', own, (request) => {
    find(request).close();
    return {};
  });
}
