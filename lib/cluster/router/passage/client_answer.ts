/** The answer as its client gets it: begun when there is something to tell, so that until then another instance can answer. */
import type { FastifyReply } from 'fastify';
import type { ApiError } from '../../../server/base/api_error.js';
import { dataFrame } from '../../../server/http/event_stream.js';
import { ReplyStream, type ReaderLimits } from '../../../server/http/reply_stream.js';
import type { UpstreamAnswer } from '../upstream/upstream_client.js';
import { hasEvents } from './leg.js';
import { answerHeaders } from './passed_headers.js';

/** Of one request. */
export class ClientAnswer {
  private stream: ReplyStream | null = null;
  private isEvents = false;

  constructor(
    private readonly reply: FastifyReply,
    private readonly limits: ReaderLimits,
  ) {}

  /** Something was sent: what comes now has to go on behind it. */
  get hasBegun(): boolean {
    return this.stream !== null;
  }

  /** The head of an instance's answer, where none was sent yet. */
  begin({ status, headers }: Pick<UpstreamAnswer, 'status' | 'headers'>): void {
    if (this.stream !== null) return;
    this.isEvents = hasEvents(headers);
    this.stream = new ReplyStream(this.reply, this.limits, { status, headers: answerHeaders(headers) });
  }

  /** Waits where the client doesn't read. False: it is gone. */
  async send(pieces: readonly Buffer[]): Promise<boolean> {
    return this.stream!.send(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces));
  }

  /** It is whole. */
  end(): void {
    this.stream?.end();
  }

  /** Nothing more comes, and the client is told so: in an event, or by the end of the connection, lest it take the answer for whole. */
  breakOff(error: ApiError): void {
    if (this.isEvents) void this.stream!.send(dataFrame(error.body));
    else this.reply.raw.destroy();
    this.end();
  }
}
