/** What the sections `exchange` and `start` print for people. Pure. */
import { table } from '../../lib/metrics/charts.js';
import type { ExchangeRow } from './exchange_section.js';
import { ratioText, spreadText } from './report.js';
import type { StartRow } from './start_section.js';
import type { TokenRow } from './token_section.js';

/** The section `exchange`. */
export function exchangeReport(rows: readonly ExchangeRow[]): string {
  const [first] = rows;
  const parties = Object.keys(first!.us);
  const peers = Object.keys(first!.ratios);
  return [
    'exchange: bytes from each of two ranks to the other at once, µs until the slower one has its own; ratio = the peer’s time / ours of the same round,',
    '  gloo and Open MPI over TCP beside WebSockets, Open MPI through memory beside threads; over 1 we are the faster one',
    table([
      ['bytes', ...parties, ...peers.map((peer) => `${peer} / ours`)],
      ...rows.map(({ bytes, us, ratios }) => [
        String(bytes),
        ...parties.map((name) => spreadText(us[name]!, (value) => value.toFixed(0))),
        ...peers.map((name) => ratioText(ratios[name]!)),
      ]),
    ]),
    '',
  ].join('\n');
}

/** The section `exchange`: a dispatch and a combine. */
export function tokenReport(rows: readonly TokenRow[]): string {
  const names = [...new Set(rows.flatMap(({ others }) => Object.keys(others)))];
  const us = (spread: TokenRow['us'] | undefined): string =>
    spread === undefined ? '–' : spreadText(spread, (value) => value.toFixed(0));
  return [
    'tokens: a dispatch and a combine of ours (hidden 1024, 8 of 64 experts, f32), µs of the slowest rank, beside others that move as many bytes from each rank to each other;',
    '  ratio = the other’s time / ours of the same round; over 1 we are the faster one. Others know how many bytes come from whom, and move them from one memory to another:',
    '  they choose and gather no rows by expert, carry no experts and weights beside them, unpack and sum nothing, give no credit and check no sender; Open MPI spins where it waits',
    table([
      ['ranks × tokens', 'bytes', 'transport', 'phase', 'ours', ...names.flatMap((name) => [name, 'it / ours'])],
      ...rows.map(({ ranks, tokens, bytes, transport, phase, us: ours, others, ratios }) => [
        `${ranks} × ${tokens}`,
        String(bytes),
        transport,
        phase,
        us(ours),
        ...names.flatMap((name) => [us(others[name]), ratios[name] === undefined ? '–' : ratioText(ratios[name])]),
      ]),
    ]),
    '',
  ].join('\n');
}

/** The section `start`. */
export const startReport = (rows: readonly StartRow[]): string =>
  [
    'start: ms; whole processes from their start to their end; loading from the page cache, of ours what the rank reports, and with its processes and the first step of one token;',
    '  of llama.cpp the call that loads, and with the first step, which reads what was only mapped; ratio = its time / that of what is named, of the same round',
    table([
      ['', 'ms', 'ratio', 'to'],
      ...rows.map(({ what, ms, ratio }) => [
        what,
        spreadText(ms, (value) => value.toFixed(0)),
        ratio === null ? '' : ratioText(ratio),
        ratio === null ? '' : ratio.beside,
      ]),
    ]),
    '',
  ].join('\n');
