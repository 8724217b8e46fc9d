/** A line of the log per request, when it is over. Why: docs/decisions/telemetry.md#what-a-log-never-says */
import type { Logger } from 'pino';
import type { RequestStory } from './passage/request_story.js';

/** Writes it; of one that only looks at level `debug`. */
export function logStory(log: Logger, story: RequestStory): void {
  const { asked, instances, moves, status } = story;
  const level = asked.method === 'GET' ? 'debug' : 'info';
  if (!log.isLevelEnabled(level)) return;
  const line = {
    request_id: asked.id,
    method: asked.method,
    route: asked.endpoint ?? 'other',
    status,
    ms: rounded(story.ms),
    ...(story.isCutOff && { is_cut_off: true }),
    instances,
    ...(story.firstTokenMs !== null && { first_token_ms: rounded(story.firstTokenMs) }),
    ...(asked.endpoint !== null && { prompt_tokens: story.numPromptTokens }),
    ...(story.numOutputTokens !== null && { output_tokens: story.numOutputTokens }),
    ...(story.numRetries > 0 && { retries: story.numRetries }),
    ...(story.numResumes > 0 && { resumes: story.numResumes }),
    ...(moves.length > 0 && { moves: moves.map(({ from, to, why, isDone }) => ({ from, to, why, is_done: isDone })) }),
  };
  log[level](line, 'request');
}

const rounded = (ms: number): number => Number(ms.toFixed(3));
