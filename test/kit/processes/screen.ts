import { Writable } from 'node:stream';
import type { Output } from '../../../lib/commands/base/context.js';

/** Where both outputs land. */
export class Screen {
  shown = '';
  onText: (text: string) => void = () => undefined;

  output(isTTY: boolean): Output {
    const write = (chunk: Buffer, _encoding: unknown, done: () => void): void => {
      this.shown += chunk.toString();
      this.onText(chunk.toString());
      done();
    };
    return Object.assign(new Writable({ write }), { isTTY, columns: 80 });
  }
}
