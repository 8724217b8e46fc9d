/** A running server is told to plan its experts anew. */
import { causeText, jsonOrUndefined, printable } from '../../../base/foreign_text.js';
import { JobError } from '../base/errors.js';
import type { Json } from '../base/job.js';
import { allowedServer } from '../work/servers.js';
import type { Execute } from './execution.js';

const MAX_CHARS = 300;

/** Its answer is the value. */
export const rebalance: Execute<'rebalance'> = async ({ url }, { rights, apiKey, signal, log }) => {
  const server = allowedServer(url, rights);
  const address = new URL(`${server.url}/experts/rebalance`);
  const key = server.isNamed && apiKey !== null ? { authorization: `Bearer ${apiKey}` } : {};
  const headers = { 'content-type': 'application/json', ...key };
  const answer = await fetch(address, { method: 'POST', headers, body: '{}', signal, redirect: 'error' }).catch(
    (cause: unknown) => {
      signal.throwIfAborted();
      const why = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
      throw new JobError(
        'TASK_FAILED',
        `no server answers at ${address.href} (${causeText(why)}); start it, or correct the url`,
      );
    },
  );
  const text = await answer.text();
  log(`${answer.status} ${printable(text, MAX_CHARS)}`);
  if (answer.ok) return { files: [], value: (jsonOrUndefined(text) ?? null) as Json };
  throw new JobError(
    'TASK_FAILED',
    `${address.href} answers ${answer.status} (${printable(text, MAX_CHARS)}); see docs/serving.md`,
  );
};
