import type { InstanceRecord } from '../../../lib/cluster/base/instance_record.js';
import type { Candidate } from '../../../lib/cluster/base/instance_view.js';
import type { LoadReport, RequestLoad } from '../../../lib/cluster/base/load_report.js';
import type { RoutedRequest } from '../../../lib/cluster/base/routed_request.js';
import type { AskedRequest } from '../../../lib/cluster/routing/routing_table.js';
import { PromptKeys } from '../../../lib/cluster/routing/prompt_keys.js';

/** An own one with a prefix cache, of one rank with 100 blocks of 4 tokens. */
export const recordOf = (id: string, changes: Partial<InstanceRecord> = {}): InstanceRecord => ({
  id,
  incarnation: 'x',
  url: `http://${id}`,
  kind: 'own',
  role: 'mixed',
  isDraining: false,
  model: 'm',
  fingerprint: 'f',
  numRanks: 1,
  blockSize: 4,
  numKvBlocks: 100,
  maxModelLen: 0,
  sharing: { seed: '00'.repeat(32), separatesForms: false },
  isPooled: false,
  ...changes,
});

/** An instance with nothing to do. */
export const reportOf = (instance: string, changes: Partial<LoadReport> = {}): LoadReport => ({
  instance,
  incarnation: 'x',
  sequence: 0,
  numWaiting: 0,
  numRunning: 0,
  numKvBlocks: 100,
  numUsedBlocks: 0,
  numCachedBlocks: 0,
  numFreeBlocksOfRank: 100,
  numPrefillTokens: 0,
  prefillTokensPerS: null,
  tbtMs: null,
  requests: [],
  ...changes,
});

/** One that runs and may move. */
export const listedRequest = (id: string, changes: Partial<RequestLoad> = {}): RequestLoad => ({
  id,
  isRunning: true,
  isMovable: true,
  priority: 0,
  numPromptTokens: 4,
  numOutputTokens: 0,
  numBlocks: 1,
  arrival: 0,
  ...changes,
});

/** Of which nothing is known but its record. */
export const candidateOf = (
  id: string,
  { record, ...changes }: Partial<Omit<Candidate, 'record'>> & { readonly record?: Partial<InstanceRecord> } = {},
): Candidate => ({
  record: recordOf(id, record),
  isHealthy: true,
  numRequests: 0,
  numPrefillTokens: 0,
  numActiveBlocks: 0,
  numHeavy: 0,
  numLight: 0,
  lastRouted: -1,
  rates: { prefillTokensPerS: null, tbtMs: null, requestsPerS: null, latencyMs: null },
  load: null,
  numCachedTokens: 0,
  numFetchableTokens: 0,
  numAddedBlocks: 0,
  ...changes,
});

/** A prompt of 40 tokens, of which 20 more are to come. */
export const requestOf = (changes: Partial<RoutedRequest> = {}): RoutedRequest => ({
  number: 0,
  leg: 'whole',
  numPromptTokens: 40,
  maxNewTokens: 20,
  priority: 0,
  predicted: { from: 0, to: 21 },
  sessionInstance: null,
  ...changes,
});

/** Of these tokens. */
export const askedOf = (tokens: readonly number[], changes: Partial<AskedRequest> = {}): AskedRequest => ({
  model: 'm',
  prompt: new PromptKeys({ tokens }),
  maxNewTokens: 20,
  priority: 0,
  session: null,
  except: new Set(),
  fingerprint: null,
  ...changes,
});
