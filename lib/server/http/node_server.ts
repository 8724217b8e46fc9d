/** Node's HTTP server with every limit set, over TLS where there are certificates. */
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { causeText } from '../../../base/foreign_text.js';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { ApiError, type ApiErrorCode } from '../base/api_error.js';
import { inOrder } from './in_order.js';

/** PEM texts. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A server that answers with `handler`. */
export function nodeServer(
  handler: RequestListener,
  config: ExpertwireConfig['server'],
  certificate: Certificate | null,
): Server {
  const options: ServerOptions = {
    maxHeaderSize: config.max_header_bytes,
    requestTimeout: config.request_timeout_ms,
    headersTimeout: config.request_timeout_ms,
    connectionsCheckingInterval: Math.min(1000, config.request_timeout_ms),
    keepAliveTimeout: config.keep_alive_timeout_ms,
    requireHostHeader: false, // the guard says it in OpenAI's form
  };
  const tls = { ...certificate, minVersion: 'TLSv1.2', handshakeTimeout: config.request_timeout_ms } as const;
  const listener = inOrder(handler);
  const server =
    certificate === null ? createHttpServer(options, listener) : createHttpsServer({ ...options, ...tls }, listener);
  server.maxConnections = config.max_connections;
  return server;
}

/** Null where no file is named. @throws ConfigError INVALID_VALUE where one of two is, NOT_FOUND for one that can't be read */
export async function readCertificate({ tls }: ExpertwireConfig['server']): Promise<Certificate | null> {
  if (tls.cert === null && tls.key === null) return null;
  if (tls.cert === null || tls.key === null) {
    const missing = tls.cert === null ? 'server.tls.cert' : 'server.tls.key';
    throw new ConfigError(
      'INVALID_VALUE',
      `HTTPS needs certificate and key, but ${missing} is not given; give both or none`,
      {
        key: missing,
      },
    );
  }
  return { cert: await readPem('server.tls.cert', tls.cert), key: await readPem('server.tls.key', tls.key) };
}

async function readPem(key: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const message = `"${key}" is ${file}, which can't be read (${causeText(cause)}); give the path of a PEM file`;
    throw new ConfigError('NOT_FOUND', message, { key, cause });
  }
}

/** Answers what is no HTTP request, or did not arrive in time; nothing else sees it. */
export function answerClientError(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const [code, text] =
    CLIENT_ERRORS[error.code ?? ''] ?? (['INVALID_REQUEST', 'this is no HTTP request; send one'] as const);
  const { status, body } = new ApiError(code, text);
  const json = JSON.stringify(body);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_TEXT[status] ?? 'Error'}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(json)}`,
    'connection: close',
  ];
  // An answer that has begun can't be followed by another.
  const hasBegun = (socket as Socket & { readonly _httpMessage?: { readonly headersSent: boolean } })._httpMessage
    ?.headersSent;
  if (socket.writable && hasBegun !== true) socket.write(`${head.join('\r\n')}\r\n\r\n${json}`);
  socket.destroySoon();
}

const CLIENT_ERRORS: Readonly<Record<string, readonly [ApiErrorCode, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['REQUEST_TIMEOUT', 'the request did not arrive in time; send it at once'],
  HPE_HEADER_OVERFLOW: ['HEADERS_TOO_LARGE', 'the headers are longer than server.max_header_bytes; send fewer'],
};

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};
