/** The parts of every server, in the order in which they are added. */
import { batchesPart } from './batches/batches_part.js';
import { clusterPart } from './cluster/cluster_part.js';
import { elasticPart } from './elastic/elastic_part.js';
import { expertsPart } from './experts/experts_part.js';
import { healthPart } from './health.js';
import { kvPart } from './kv_part.js';
import { livePart } from './live/live_part.js';
import { openApiPart } from './open_api.js';
import { chatPart } from './openai/chat_completions.js';
import { completionsPart } from './openai/completions.js';
import type { OpenAiPart } from './openai/answers.js';
import { keptRequestsPart } from './openai/kept_requests.js';
import { modelsPart } from './openai/models.js';
import { responsesPart } from './openai/responses.js';
import { tokenizePart } from './openai/tokenize.js';
import { tokenizerInfoPart } from './openai/tokenizer_info.js';
import { telemetryPart } from './telemetry_part.js';

/** A new part gets its line here. */
export const PARTS: readonly OpenAiPart[] = [
  telemetryPart,
  healthPart,
  openApiPart,
  modelsPart,
  completionsPart,
  chatPart,
  responsesPart,
  keptRequestsPart,
  batchesPart,
  tokenizePart,
  tokenizerInfoPart,
  kvPart,
  expertsPart,
  elasticPart,
  clusterPart,
  livePart,
];
