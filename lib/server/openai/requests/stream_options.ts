/** What fields of a request exclude each other. Pure. */
import { ApiError } from '../../base/api_error.js';
import type { GenerationFields } from './fields.js';

/** When a stream tells the usage: with each piece it does so only where the end tells it too, as in vLLM. */
export function usageToldBy({ stream_options: options }: Pick<GenerationFields, 'stream_options'>): {
  readonly atEnd: boolean;
  readonly always: boolean;
} {
  const atEnd = options?.include_usage === true;
  return { atEnd, always: atEnd && options.continuous_usage_stats === true };
}

/** @throws ApiError INVALID_VALUE */
export function checkStream({
  stream,
  stream_options: options,
  prompt_logprobs: promptLogprobs,
}: GenerationFields): void {
  if (options != null && stream !== true) {
    throw new ApiError('INVALID_VALUE', 'stream_options are for streams; set stream, or leave them out', {
      param: 'stream_options',
    });
  }
  if (promptLogprobs != null && stream === true) {
    throw new ApiError('INVALID_VALUE', 'prompt_logprobs come with whole answers alone; leave stream out', {
      param: 'prompt_logprobs',
    });
  }
}
