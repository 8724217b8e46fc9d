/** What requests come to while nothing befalls the job. */
import type { Engine } from '../../../lib/head/engine.js';
import type { GenerationRequest } from '../../../lib/protocol/request.js';
import { answerOf, type Answer } from './answer.js';

/** Every request once, so many at a time. @throws what ended the job, or the first request */
export async function undisturbed(
  engine: Pick<Engine, 'generate' | 'failure'>,
  requests: readonly GenerationRequest[],
  numStreams: number,
  signal: AbortSignal,
): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  let next = 0;
  const stream = async (): Promise<void> => {
    for (let i = next++; i < requests.length; i = next++) answers[i] = await answerOf(engine, requests[i]!, signal);
  };
  await Promise.all(Array.from({ length: numStreams }, stream));
  const failed = answers.find(({ error }) => error !== null);
  if (failed !== undefined) throw engine.failure ?? new Error(failed.error!);
  return answers;
}
