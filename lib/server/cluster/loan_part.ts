/** Blocks by their keys, over HTTP: how another instance reads what this one computed. Why: docs/decisions/kv_store.md#who-may-borrow */
import type { FastifyRequest } from 'fastify';
import type { Loan } from '../../head/kv/loan.js';
import type { ServerApp } from '../base/part.js';
import { bearerOf } from '../http/api_keys.js';
import { loanPath, matchBody } from './loan_messages.js';
import type { Loans } from './loans.js';

/** Its token is a loan's key. */
const OWN_KEY = { access: 'open', isForDraining: true } as const;

/** POST /v1/kv/match; of /v1/kv/loans/ID: POST renew and release. */
export function loanRoutes(app: ServerApp, loans: Loans): void {
  const find = ({ params, headers }: Pick<FastifyRequest<{ Params: { id: string } }>, 'params' | 'headers'>): Loan =>
    loans.find(params.id, bearerOf(headers.authorization));
  const match = { config: { access: 'cluster', isForDraining: true }, schema: { body: matchBody } } as const;
  app.post('/v1/kv/match', match, ({ body }) => loans.match(body));
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
