/** `return_router_logits`: what the routers of all MoE layers computed for the tokens that were fed to the model. */
import type { RouterLogits } from '../../protocol/request.js';
import { ApiError } from '../base/api_error.js';
import type { Choice } from './requests/choices.js';

/** A token's [MoE layers · E] as little-endian float32 in base64, null where the share left it out: numbers as text would hold up all requests. */
export const routerLogitsOf = (
  events: readonly { readonly routerLogits?: readonly RouterLogits[] }[],
): (string | null)[] =>
  events.flatMap(({ routerLogits = [] }) => routerLogits.map((layers) => layers && base64Of(layers)));

/** The engine bounds what it tells of one choice. @throws ApiError INVALID_VALUE for several */
export function checkRouterLogits(choices: readonly Choice[]): void {
  const isAsked = choices.some(({ request }) => (request.returnRouterLogits ?? false) !== false);
  if (!isAsked || choices.length === 1) return;
  const text = `return_router_logits is for one choice, and there are ${choices.length}; send them one by one`;
  throw new ApiError('INVALID_VALUE', text, { param: 'return_router_logits' });
}

const base64Of = (layers: readonly Float32Array[]): string =>
  Buffer.concat(
    layers.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
  ).toString('base64');
