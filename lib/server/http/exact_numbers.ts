/** What chat templates see of a request's body, with the numbers as its JSON wrote them. Why: docs/decisions/chats.md#json-keeps-what-javascript-loses */
import { parseExactJson } from '../../tokenizer/jinja/values/plain.js';

/** Fields of a body that chat templates see. */
const SEEN = ['messages', 'tools', 'documents', 'chat_template_kwargs'];

/** What `JSON.parse` may lose: 1.0, 1e3, more than 15 digits, keys that are numbers. */
const LOSSY = /\d\.\d*0\b|\d[eE]|\d{16}|"\d+"\s*:/;

/** A parsed body, in which fields for chat templates keep what their JSON says. Other fields are as they were. */
export function withExactNumbers(body: unknown, json: string): unknown {
  if (typeof body !== 'object' || body === null || !SEEN.some((field) => Object.hasOwn(body, field))) return body;
  if (!LOSSY.test(json)) return body;
  const exact = exactly(json);
  const fields = Object.entries(exact).filter(([name, value]) => SEEN.includes(name) && isObjects(value));
  return { ...body, ...Object.fromEntries(fields) };
}

function exactly(json: string): object {
  try {
    const exact = parseExactJson(json);
    return exact instanceof Map ? Object.fromEntries(exact as Map<string, unknown>) : (exact as object);
  } catch (error) {
    if (error instanceof RangeError) return {}; // nested deeper than this reader goes; no template would, either
    throw error;
  }
}

/** What checks of requests take for objects: none with a number as key, which is a Map. */
const isObjects = (value: unknown): boolean =>
  !(value instanceof Map) && !(Array.isArray(value) && value.some((each) => each instanceof Map));
