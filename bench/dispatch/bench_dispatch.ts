/** `expertwire bench dispatch`: the all-to-all between rank processes, in DeepEP's table layout, beside raw TCP of the same run. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { TraceWriter } from '../../lib/commands/engine/trace_writer.js';
import type { TimelineEvent } from '../../lib/metrics/timeline.js';
import { thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { measureSetting, type DispatchRow } from './all_to_all_bench.js';
import { BACK_TO_BACK_FORMULAE, measureBackToBack } from './back_to_back_bench.js';
import { CALL_FORMULAE, FORMULAE, MESSAGE_FORMULAE } from './figures.js';
import type { Matrices } from './matrices.js';
import { measureMessages, type MessageRow } from './message_bench.js';
import { parseOptions, type DispatchOptions } from './options.js';
import { measureOverlap, OVERLAP_FORMULAE, type OverlapRow } from './overlap_bench.js';
import {
  backToBackTable,
  callTable,
  dispatchTable,
  header,
  matrixTables,
  messageTable,
  overlapTable,
} from './report.js';
import type { Setting } from './settings.js';

/** What one way of measuring showed, in both forms. */
interface Outcome {
  readonly formulae: Readonly<Record<string, string>>;
  readonly rows: readonly object[];
  readonly text: string;
  readonly matrices?: readonly Matrices[];
}

/** Told of what goes on. */
interface Observer {
  readonly onSetting: (title: string) => void;
  readonly onTimelines: (timelines: readonly (readonly TimelineEvent[])[]) => void;
}

/** @throws UsageError for wrong options, BenchError when a process fails. */
export async function benchDispatch(
  args: readonly string[],
  { stdout, stderr, signal }: CommandContext,
): Promise<void> {
  const options = accepted(await parseOptions(args));
  await checkOutputs({ '--trace': options.trace });
  const trace = options.trace === undefined ? undefined : await TraceWriter.create(options.trace, MICRO_BATCHES);
  const observer: Observer = {
    onSetting: (title) => {
      if (stderr.isTTY === true) stderr.write(`measuring ${title}\n`);
    },
    onTimelines: (timelines) => {
      for (const [rank, events] of timelines.entries()) trace?.add(rank, events);
    },
  };
  try {
    const outcome = await MODES[options.mode](options, observer, signal);
    stdout.write(
      options.json ? jsonOf(options, outcome) : `${header(options.seed, outcome.formulae)}\n\n${outcome.text}\n`,
    );
  } finally {
    await trace?.close();
  }
  if (trace !== undefined) stderr.write(`${trace.summary()}\n`);
}

function jsonOf({ seed, matrix }: DispatchOptions, { formulae, rows, matrices }: Outcome): string {
  return `${JSON.stringify({ machine: thisMachine(), seed, formulae, rows, ...(matrix && { matrices }) })}\n`;
}

/** Tracks of a trace. */
const MICRO_BATCHES = 2;

type Mode = (options: DispatchOptions, observer: Observer, signal: AbortSignal) => Promise<Outcome>;

const MODES: Readonly<Record<DispatchOptions['mode'], Mode>> = {
  all_to_all: async (options, observer, signal) => {
    const rows: DispatchRow[] = [];
    const matrices: Matrices[] = [];
    for (const setting of options.settings) {
      observer.onSetting(titleOf(setting));
      const result = await measureSetting(setting, options, signal);
      rows.push(...result.rows);
      matrices.push(result.matrices);
      observer.onTimelines(result.timelines);
    }
    const tables = options.matrix ? matrices.map((one, i) => matrixTables(titleOf(options.settings[i]!), one)) : [];
    const text = [dispatchTable(rows), callTable(rows), ...tables].join('\n\n');
    return { formulae: { ...FORMULAE, ...CALL_FORMULAE }, rows, matrices, text };
  },

  back_to_back: async (options, observer, signal) => {
    const onSetting = (setting: Setting): void => observer.onSetting(`back to back: ${titleOf(setting)}`);
    const rows = await measureBackToBack(options, onSetting, signal);
    return { formulae: BACK_TO_BACK_FORMULAE, rows, text: backToBackTable(rows) };
  },

  messages: async (options, observer, signal) => {
    const rows: MessageRow[] = [];
    for (const setting of distinctMeshes(options.settings)) {
      observer.onSetting(`messages between ${setting.ranks} ranks over ${setting.transport}`);
      rows.push(...(await measureMessages(setting, options, signal)));
    }
    return { formulae: MESSAGE_FORMULAE, rows, text: messageTable(rows) };
  },

  overlap: async (options, observer, signal) => {
    const rows: OverlapRow[] = [];
    for (const setting of options.settings) {
      observer.onSetting(`overlap of ${titleOf(setting)}`);
      const { row, timelines } = await measureOverlap(setting, options, signal);
      rows.push(row);
      observer.onTimelines(timelines);
    }
    return { formulae: OVERLAP_FORMULAE, rows, text: overlapTable(rows) };
  },
};

/** Plain frames know no tokens: one setting per number of ranks and transport. */
function distinctMeshes(settings: readonly Setting[]): Setting[] {
  const byMesh = new Map(settings.map((setting) => [`${setting.ranks} ${setting.transport}`, setting]));
  return [...byMesh.values()];
}

function titleOf({ ranks, tokens, hidden, topk, experts, dtype, combineDtype, skew, transport }: Setting): string {
  return `${ranks} ranks × ${tokens} tokens × ${hidden}, ${topk}/${experts} ${skew}, ${dtype}/${combineDtype}, ${transport}`;
}
