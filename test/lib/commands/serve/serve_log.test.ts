import { expect } from 'chai';
import { Writable } from 'node:stream';
import { ServeLog } from '../../../../lib/commands/serve/serve_log.js';
import { SharedTerminal } from '../../../../lib/commands/base/shared_terminal.js';

/** A stream and what was written to it. */
function output(isTTY: boolean): {
  readonly stream: Writable & { readonly isTTY: boolean };
  readonly text: () => string;
} {
  const chunks: string[] = [];
  const write = (chunk: unknown, _encoding: string, done: () => void): void => {
    chunks.push(String(chunk));
    done();
  };
  return { stream: Object.assign(new Writable({ write }), { isTTY }), text: () => chunks.join('') };
}

/** Says a line and logs one, as `serve` does. */
function spoken(isTTY: boolean, level: 'info' | 'warn' = 'info'): string {
  const { stream, text } = output(isTTY);
  const log = new ServeLog(stream, level);
  const terminal = new SharedTerminal({ stdout: output(false).stream, stderr: log.stderr });
  terminal.line('[rank 0] an experiment');
  terminal.line('warning: careful');
  log.loggerOn(terminal).info('request');
  return text();
}

describe('standard error of a server', () => {
  it('is JSON alone where no terminal shows it', () => {
    const lines = spoken(false).trimEnd().split('\n');
    const said = lines.map((line) => JSON.parse(line) as { level: number; msg: string });
    expect(said.map(({ level, msg }) => [level, msg])).to.deep.equal([
      [30, '[rank 0] an experiment'],
      [40, 'careful'],
      [30, 'request'],
    ]);
  });

  it('keeps to server.log_level there', () => {
    expect(spoken(false, 'warn')).to.match(/^[^\n]*"msg":"careful"}\n$/);
  });

  it('is lines for people on a terminal', () => {
    expect(spoken(true)).to.match(/^\[rank 0\] an experiment\nwarning: careful\n\d\d:\d\d:\d\d request\n$/);
  });
});
