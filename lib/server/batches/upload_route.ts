/** POST /v1/files: a form with a file, which goes to the disk as it comes. */
import type { MultipartFile, MultipartValue } from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import * as z from 'zod';
import { printable } from '../../../base/foreign_text.js';
import { ApiError } from '../base/api_error.js';
import type { ServerApp } from '../base/part.js';
import { checkedBy } from '../http/validation.js';
import type { BatchRoutesParts } from './batch_routes.js';
import { lifetimeField, lifetimeOf } from './lifetime.js';
import { fileJson } from './stored_file.js';

const form = z.object({
  purpose: z.literal('batch', { error: 'give batch: this server has no use for other files' }),
  expires_after: lifetimeField.nullish(),
});
/** For who reads: the fields are checked as they come. */
const SHOWN = z.object({ file: z.string().describe('JSON Lines, one request a line'), ...form.shape });
/** Of fields besides the file. */
const LIMITS = { files: 1, fields: 8, parts: 9, fieldSize: 1024, fieldNameSize: 100, headerPairs: 20 };
const MAX_NAME_CHARS = 255;

/** Only here bodies are forms. */
export async function uploadRoute(app: ServerApp, { batches, callerOf }: BatchRoutesParts): Promise<void> {
  const { default: multipart } = await import('@fastify/multipart');
  await app.register(async (scope: ServerApp) => {
    await scope.register(multipart, { throwFileSizeLimit: false, limits: { ...LIMITS, fileSize: Infinity } });
    const schema = { body: SHOWN, consumes: ['multipart/form-data'] };
    const validatorCompiler = () => (value: unknown) => ({ value });
    scope.post('/v1/files', { schema, validatorCompiler }, async (request) => {
      if (!request.isMultipart()) {
        throw new ApiError('UNSUPPORTED_MEDIA_TYPE', 'files come in forms; send Content-Type: multipart/form-data');
      }
      return fileJson(await received(request, batches.files, callerOf(request)));
    });
  });
}

type Files = BatchRoutesParts['batches']['files'];

async function received(request: FastifyRequest, files: Files, owner: string): Promise<Parameters<typeof fileJson>[0]> {
  const fields: Record<string, unknown> = {};
  let file: { readonly id: string; readonly bytes: number; readonly filename: string } | null = null;
  try {
    for await (const part of request.parts()) {
      if (part.type === 'field') addField(fields, part);
      else if (part.fieldname === 'file' && file === null) file = await receive(part, files);
      else part.file.resume(); // not wanted
    }
    if (file === null) throw new ApiError('INVALID_VALUE', 'file is missing; give one', { param: 'file' });
    const expiresAfterS = lifetimeOf(formOf(fields).expires_after);
    return await files.keep(file.id, file.bytes, { owner, filename: file.filename, expiresAfterS });
  } catch (error) {
    if (file !== null) await files.drop(file.id);
    throw error;
  }
}

async function receive(
  { file, filename }: MultipartFile,
  files: Files,
): Promise<{ readonly id: string; readonly bytes: number; readonly filename: string }> {
  const { id, bytes } = await files.receive(file);
  return { id, bytes, filename: printable(filename.slice(0, MAX_NAME_CHARS)) };
}

/** `expires_after[seconds]` is a field of a field. */
function addField(fields: Record<string, unknown>, { fieldname, value }: MultipartValue): void {
  const [, name, inner] = /^(\w+)\[(\w+)\]$/.exec(fieldname) ?? [];
  if (name === undefined || inner === undefined) fields[fieldname] = value;
  else fields[name] = { ...(fields[name] as object | undefined), [inner]: value };
}

/** @throws ApiError INVALID_VALUE, UNSUPPORTED */
function formOf(fields: object): z.infer<typeof form> {
  const checked = checkedBy(form)(fields);
  if ('error' in checked) throw checked.error;
  return checked.value as z.infer<typeof form>;
}
