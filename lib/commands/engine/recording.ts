/** `--record`: a file with what the gates chose while a command runs. */
import { MAX_RANKS } from '../../../base/ids.js';
import { LoadRecorder, type RoutingObserver, type StepRouting } from '../../../experts/load/load_recorder.js';
import type { RecordMode } from '../../../experts/load/recording.js';
import { wholePlacement } from '../../../experts/placement/slices.js';
import { readPlacement } from '../../config/placement_file.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { OpenedModel } from '../../head/opened_model.js';
import { recordingHeader } from '../../head/recording_header.js';
import { jobSpec } from '../../head/slice_choice.js';
import { numSeatsOf } from '../../job/start/seats.js';
import { heldCountsOf, numSlicesOf } from '../../model/spec/slices.js';
import { moeLayersOf } from '../../model/spec/spec.js';
import { closing } from '../base/closing.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { outputFailed } from '../base/output_file.js';

/** Whether to record, how, and for how many ranks, as yargs parses it. */
export interface RecordArgs {
  readonly record?: string | undefined;
  readonly recordMode?: RecordMode | undefined;
  readonly waitRanks?: number | undefined;
  readonly returnRouterLogits?: string | undefined;
}

/** Of `--return-router-logits`; undefined: it isn't given. @throws UsageError */
export function routerLogitsShare({
  returnRouterLogits: text,
  record,
  recordMode,
  json,
}: RouterLogitsArgs): number | undefined {
  if (text === undefined) return undefined;
  if (json !== true && (record === undefined || recordMode !== 'per_token')) {
    throw new UsageError(
      '--return-router-logits is for --json, or --record FILE --record-mode per_token; give one of them too',
    );
  }
  const share = text === '' ? 1 : Number(text);
  if (share > 0 && share <= 1) return share;
  throw new UsageError(
    `--return-router-logits ${JSON.stringify(text)}: give a share of the tokens, over 0, up to 1; nothing means all`,
  );
}

/** Where router logits go. */
type RouterLogitsArgs = Pick<RecordArgs, 'returnRouterLogits' | 'record' | 'recordMode'> & {
  readonly json?: boolean | undefined;
};

/** Runs `work` with a recorder, null where none was asked for, and ends its file whatever happens. */
export async function withRecorder(
  args: RecordArgs,
  config: ExpertwireConfig,
  { spec }: OpenedModel,
  { stderr }: CommandContext,
  work: (recorder: RoutingObserver | null) => Promise<void>,
): Promise<void> {
  const { record: file, recordMode, waitRanks } = args;
  if (file === undefined) {
    if (recordMode !== undefined) throw new UsageError('--record-mode says how to --record FILE; give that too');
    return work(null);
  }
  const mode = recordMode ?? 'stat';
  const { window_size: windowSize } = config.load_balance;
  const numRanks = config.parallel.ranks + (wholeNumber('--wait-ranks', waitRanks, 0, MAX_RANKS) ?? 0);
  const sliced = await jobSpec(config.experts, spec, numRanks);
  const shape = { numLayers: moeLayersOf(spec).length, numExperts: heldCountsOf(sliced), numRanks };
  const placement = wholePlacement(await readPlacement(config.experts, shape), numSlicesOf(sliced));
  const share = mode === 'per_token' ? routerLogitsShare(args) : undefined;
  const header = {
    ...recordingHeader(mode, config, sliced, placement, numSeatsOf(config, numRanks)),
    ...(share !== undefined && { hasRouterLogits: true }),
  };
  const failed = (cause: unknown): never => {
    throw outputFailed('--record', file, cause);
  };
  const recorder = await LoadRecorder.create(file, header, { windowSize }).catch(failed);
  const observer = {
    wantsTokens: recorder.wantsTokens,
    routerLogitsShare: share,
    add: (step: StepRouting) => recorder.add(step).catch(failed),
  };
  await closing(
    () => recorder.close().catch(failed),
    () => work(observer),
  );
  stderr.write(`recording: ${file}; ${recorder.numRecords} records\n`);
}
