/** Where a server's log goes, and with it what else a command says: a terminal shows lines for people, a file or a collector gets JSON alone. */
import { Writable } from 'node:stream';
import type { Logger } from 'pino';
import type { ExpertwireConfig } from '../../config/schema.js';
import { createLog } from '../../server/telemetry/log.js';
import type { Output } from '../base/context.js';
import type { SharedTerminal } from '../base/shared_terminal.js';

/** Begins lines that are logged as such. */
const WARNING = 'warning: ';

/** The log of one server. */
export class ServeLog {
  /** What is said on stderr besides the log: into the log as well, unless a terminal shows it. */
  readonly stderr: Output;
  private readonly log: Logger | null;

  constructor(
    stderr: Output,
    private readonly level: ExpertwireConfig['server']['log_level'],
  ) {
    this.log = stderr.isTTY === true ? null : createLog(stderr, level);
    this.stderr = this.log === null ? stderr : linesInto(this.log);
  }

  /** On `terminal`, where there is one, lines of the log begin on lines of their own. */
  loggerOn(terminal: SharedTerminal): Logger {
    return this.log ?? createLog({ isTTY: true, write: (line) => terminal.line(line.trimEnd()) }, this.level);
  }
}

/** Each write is of whole lines. */
function linesInto(log: Logger): Output {
  return new Writable({
    decodeStrings: false,
    write: (text: string | Buffer, _encoding, done) => {
      for (const line of text.toString().trimEnd().split('\n')) {
        if (line.startsWith(WARNING)) log.warn(line.slice(WARNING.length));
        else log.info(line);
      }
      done();
    },
  });
}
