/** POST /reset_prefix_cache: later prompts are computed from their beginning. */
import { ApiError } from './base/api_error.js';
import type { ServerPart } from './base/part.js';

/** POST /reset_prefix_cache. */
export const prefixCachePart: ServerPart = (app, { engine }) => {
  app.post('/reset_prefix_cache', { config: { access: 'local' } }, () => {
    if (engine.resetPrefixCache === undefined) {
      throw new ApiError('UNSUPPORTED', 'this engine keeps no prefixes; nothing is to be reset');
    }
    if (engine.resetPrefixCache()) return {};
    throw new ApiError('CONFLICT', 'requests run, and nothing was forgotten; ask again when none does');
  });
};
