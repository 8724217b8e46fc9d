/** What requests notice of a journal whose disk is full. */
import { expect } from 'chai';
import { join } from 'node:path';
import { pino } from 'pino';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { ApiError } from '../../../../lib/server/base/api_error.js';
import { Journal } from '../../../../lib/server/journal/journal.js';
import type { Asked } from '../../../../lib/server/journal/kept_request.js';
import { KeptRuns } from '../../../../lib/server/journal/request_runs.js';
import { wholeChoices } from '../../../../lib/server/openai/requests/choice_deltas.js';
import type { Choice } from '../../../../lib/server/openai/requests/choices.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { PlayedDisk } from '../../../kit/server/played_disk.js';
import { finishedEvent, tokenEvent, type Play } from '../../../kit/server/played_engine.js';
import { playedEngine } from '../../../kit/server/served_app.js';

const prompt = { tokenIds: [1, 2], text: null };
const CHOICES: readonly Choice[] = [
  { index: 0, prompt, sample: 0, request: { promptTokenIds: prompt.tokenIds, maxNewTokens: 6 } },
];
const asked = (name: string): Asked => {
  const head = { id: `cmpl-${name}`, created: 1, model: 'm' };
  return { endpoint: 'completions', head, body: {}, name, owner: '' };
};

/** Six tokens, unless it is given up. */
const counting: Play = async function* (_request, signal) {
  for (let i = 0; i < 6; i++) {
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    if (signal?.aborted === true) throw new EngineError('CLOSED', 'the request was cancelled by its caller');
    yield tokenEvent(i, `${i}`);
  }
  yield finishedEvent();
};

describe('a journal on a full disk', () => {
  it('refuses new requests, lets those go on that run, and takes new ones when there is room', async () => {
    await withTempFolder(async (dir) => {
      const disk = new PlayedDisk();
      const warnings: string[] = [];
      const journal = await Journal.open({
        ...{ file: join(dir, 'requests.jsonl'), model: 'm', openInstead: disk.openInstead },
        warn: (text) => warnings.push(text),
      });
      const engine = await playedEngine(counting);
      const ending = new AbortController();
      const parts = { engine, journal, ending: ending.signal, log: pino({ level: 'silent' }), seed: 0 };
      const runs = new KeptRuns(parts);
      const { signal } = ending;
      const { deltas } = await runs.start(asked('first'), CHOICES, signal);
      let text = '';
      for await (const delta of deltas) {
        text += delta.map((each) => each.text).join('');
        if (disk.roomBytes < Infinity) continue;
        disk.roomBytes = 0;
        const refused = await errorOf(ApiError, () => runs.start(asked('second'), CHOICES, signal));
        expect([refused.code, refused.status]).to.deep.equal(['JOURNAL_FAILED', 503]);
        await errorOf(ApiError, () => runs.start(asked('third'), CHOICES, signal));
      }
      expect(text).to.equal('012345');
      while (engine.numRunning > 0) await new Promise(setImmediate);
      expect(runs.find('second', '')).to.equal(undefined);
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.match(
        /the journal \/\S+\/requests\.jsonl can't be written \(ENOSPC.*\): new requests are refused/,
      );
      disk.roomBytes = Infinity;
      const { choices, deltas: later } = await runs.start(asked('fourth'), CHOICES, signal);
      await wholeChoices(choices, later);
      await runs.close();
      expect(warnings.slice(1)).to.deep.equal(['the journal can be written again: new requests are taken']);
      expect(disk.content).to.include('"name":"fourth"').and.not.include('"name":"second"');
    });
  });
});
