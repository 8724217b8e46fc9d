/** Plain frames of one size, and an echo, beside raw TCP. */
import { FRAME_HEADER_BYTES } from '../../comm/index.js';
import { openParties } from './all_to_all_bench.js';
import { figuresOf, type PhaseFigures } from './figures.js';
import { interleave, type Timings } from './interleave.js';
import type { DispatchOptions } from './options.js';
import type { PartyName, Parties } from './parties/parties.js';
import type { Setting } from './settings.js';

/** One line: many frames at once (`message`), or one there and back between ranks 0 and 1 (`echo`). */
export interface MessageRow extends PhaseFigures {
  readonly ranks: number;
  readonly transport: string;
  readonly io_thread: boolean;
  readonly link_mbit: number | null;
  readonly message_bytes: number;
  /** Messages per pair and repeat. */
  readonly messages: number;
  readonly phase: 'message' | 'echo';
}

/** Bytes per pair and repeat: enough to fill buffers, few enough that a mesh may queue them. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** A mesh lets so many frames wait. */
const MAX_BATCH = 2048;

/** All sizes over one set of processes. @throws BenchError when a process fails. */
export async function measureMessages(
  setting: Setting,
  options: DispatchOptions,
  signal: AbortSignal,
): Promise<MessageRow[]> {
  const rows: MessageRow[] = [];
  const parties = await openParties(setting, options, signal);
  try {
    for (const bytes of options.messages) {
      const count = Math.max(1, Math.min(MAX_BATCH, Math.floor(BATCH_BYTES / bytes)));
      const common = {
        ranks: setting.ranks,
        transport: setting.transport,
        io_thread: options.ioThread,
        link_mbit: options.linkMbit ?? null,
        message_bytes: bytes,
      };
      const batch = await timeBatches(parties, bytes, count, options);
      const sent = (setting.ranks - 1) * count * (FRAME_HEADER_BYTES + bytes);
      rows.push({ ...common, messages: count, phase: 'message', ...figuresOf(batch, 'message', sent) });
      const echo = await timeEchoes(parties, bytes, options);
      rows.push({ ...common, messages: 1, phase: 'echo', ...figuresOf(echo, 'echo', FRAME_HEADER_BYTES + bytes) });
    }
  } finally {
    await parties.close();
  }
  return rows;
}

function timeBatches(
  parties: Parties,
  bytes: number,
  count: number,
  options: DispatchOptions,
): Promise<Record<PartyName, Timings>> {
  const frameBytes = FRAME_HEADER_BYTES + bytes;
  const matrix = Array.from({ length: parties.ranks }, (_, source) =>
    Array.from({ length: parties.ranks }, (_, destination) => (source === destination ? 0 : frameBytes)),
  );
  const raw = { kind: 'exchange', phases: [{ name: 'message', count, bytes: matrix }] } as const;
  return interleave(parties, { mesh: { kind: 'messages', bytes, count }, naive: raw, tuned: raw }, options);
}

function timeEchoes(parties: Parties, bytes: number, options: DispatchOptions): Promise<Record<PartyName, Timings>> {
  const raw = { kind: 'echo', bytes: FRAME_HEADER_BYTES + bytes } as const;
  return interleave(parties, { mesh: { kind: 'echo', bytes }, naive: raw, tuned: raw }, options);
}
