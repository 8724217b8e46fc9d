/** Server-sent events over an answer. */
import type { FastifyReply } from 'fastify';
import { ReplyStream, type ReaderLimits } from './reply_stream.js';

/** An answer of events. */
export class EventStream extends ReplyStream {
  /** Sends the head of the answer; from here on it is the stream's. */
  constructor(reply: FastifyReply, limits: ReaderLimits) {
    super(reply, limits, {
      status: 200,
      headers: {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        'x-accel-buffering': 'no', // nginx would hold events back
      },
    });
  }
}

/** One event without a name. */
export const dataFrame = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;

/** One event with a name. */
export const namedFrame = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/** How OpenAI's streams end. */
export const DONE_FRAME = 'data: [DONE]\n\n';
