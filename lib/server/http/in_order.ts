/** Pipelined requests: one at a time for each connection. Why: docs/decisions/serving.md#pipelined-requests-wait-for-their-turn */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Of one connection; whoever sends more, without waiting for an answer, is disconnected. */
const MAX_WAITING = 64;

interface Line {
  /** The answer that the next request waits for. */
  last: ServerResponse;
  numWaiting: number;
}

/** `handler`, called with a request once all answers before it on its connection are out, and never if the connection ends first. */
export function inOrder(handler: RequestListener): RequestListener {
  const lines = new WeakMap<Socket, Line>();
  return (request, response) => {
    const { socket } = request;
    const line = lines.get(socket);
    if (line === undefined || response.socket !== null) {
      lines.set(socket, { last: response, numWaiting: 0 });
      handler(request, response);
    } else if (line.numWaiting >= MAX_WAITING) socket.destroy();
    else wait(line, request, response, handler);
  };
}

function wait(line: Line, request: IncomingMessage, response: ServerResponse, handler: RequestListener): void {
  const { last } = line;
  line.numWaiting++;
  line.last = response;
  last.once('close', () => {
    line.numWaiting--;
    // Node gives the connection to the next answer before it tells of the end of the last: without one now, there will be none.
    if (response.socket === null)
      response.emit('close'); // for those that wait behind it
    else {
      response.socket.setTimeout(0); // the last answer's, for a client that doesn't read
      handler(request, response);
    }
  });
}
