/** Which requests may go on elsewhere. */
import { EngineError } from '../../protocol/errors.js';
import type { GenerationRequest } from '../../protocol/request.js';

/** What makes a request stay, as it is asked for: it is told of each token where that is computed. */
const STAYS = ['logprobs', 'promptLogprobs', 'returnRoutedExperts', 'returnRouterLogits', 'hooks'] as const;

/** @throws EngineError INVALID_REQUEST: it is to go on elsewhere, and can't */
export function checkMovable(request: GenerationRequest): void {
  const { movable = false, handover, id } = request;
  if (handover !== undefined && !movable)
    refuse('"handover" is for movable requests; give "movable" too, or leave it out');
  if (!movable) return;
  if (id === undefined) refuse('a movable request is known by its "id"; give it one');
  const wanted = STAYS.find((key) => isAsked(request[key]));
  if (wanted !== undefined) refuse(`a request with "${wanted}" is not movable; leave "movable" out`);
}

/** What becomes of a request between instances, as the engine keeps it. */
export const movability = ({ movable = false, handover, outputTokenIds = [] }: GenerationRequest) => ({
  isMovable: movable,
  pauseAfter: handover === undefined ? null : outputTokenIds.length + 1,
});

const isAsked = (value: unknown): boolean =>
  Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;

function refuse(text: string): never {
  throw new EngineError('INVALID_REQUEST', text);
}
