/** The parts of every server, in the order in which they are added. */
import type { ServerPart } from './base/part.js';
import { healthPart } from './health.js';
import { modelsPart } from './openai/models.js';
import { completionsPart } from './openai/completions.js';
import { chatPart } from './openai/chat_completions.js';

/** A new part gets its line here. */
export const PARTS: readonly ServerPart[] = [healthPart, modelsPart, completionsPart, chatPart];
