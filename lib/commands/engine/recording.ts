/** `--record`: a file with what the gates chose while a command runs. */
import { MAX_RANKS } from '../../../base/ids.js';
import { LoadRecorder, type RoutingObserver, type StepRouting } from '../../../experts/load/load_recorder.js';
import type { RecordMode } from '../../../experts/load/recording.js';
import { readPlacement } from '../../config/placement_file.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { OpenedModel } from '../../head/opened_model.js';
import { recordingHeader } from '../../head/recording_header.js';
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
}

/** Runs `work` with a recorder, null where none was asked for, and ends its file whatever happens. */
export async function withRecorder(
  { record: file, recordMode, waitRanks }: RecordArgs,
  config: ExpertwireConfig,
  { spec }: OpenedModel,
  { stderr }: CommandContext,
  work: (recorder: RoutingObserver | null) => Promise<void>,
): Promise<void> {
  if (file === undefined) {
    if (recordMode !== undefined) throw new UsageError('--record-mode says how to --record FILE; give that too');
    return work(null);
  }
  const mode = recordMode ?? 'stat';
  const { numExperts } = spec.moe.gate;
  const shape = { numLayers: moeLayersOf(spec).length, numExperts };
  const { window_size: windowSize } = config.load_balance;
  const placement = await readPlacement(config.experts, {
    ...shape,
    numRanks: config.parallel.ranks + (wholeNumber('--wait-ranks', waitRanks, 0, MAX_RANKS) ?? 0),
  });
  const header = recordingHeader(mode, config, spec, placement);
  const failed = (cause: unknown): never => {
    throw outputFailed('--record', file, cause);
  };
  const recorder = await LoadRecorder.create(file, header, { windowSize }).catch(failed);
  const observer = { wantsTokens: recorder.wantsTokens, add: (step: StepRouting) => recorder.add(step).catch(failed) };
  await closing(
    () => recorder.close().catch(failed),
    () => work(observer),
  );
  stderr.write(`recording: ${file}; ${recorder.numRecords} records\n`);
}
