import type { LogitRow } from '../../model/decoder/logits.js';
import { EngineError } from '../../protocol/errors.js';

/** A NaN would pick a token quietly, and it is what a backend that ran out of memory computes. @throws EngineError NOT_FINITE */
export function checkFinite(logits: LogitRow): void {
  const wrong = logits.firstNonFinite();
  if (wrong < 0) return;
  throw new EngineError(
    'NOT_FINITE',
    `the logit of token ${wrong} is ${logits.at(wrong)}; check the checkpoint for NaN, or use more ranks if memory is short`,
  );
}
