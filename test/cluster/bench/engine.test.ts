import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Measured } from '../../../bench/engine/measurement.js';
import { runBench } from '../../../bench/index.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { tinyModel } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

describe('expertwire bench engine on real ranks', function () {
  this.timeout(240_000);

  it('each measurement has a figure and its baseline from the same run', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'figures.json');
      const context = commandContext();
      const trial = [
        '--only',
        'batching,long_prompts,alone,prefix,moving,waste,http',
        '--size',
        '0.03',
        '--rounds',
        '1',
        '--ranks',
        '1',
      ];
      await runBench(['engine', '--model', tinyModel('tiny-deepseek-v3'), ...trial, '--json', file], context);
      const { results } = JSON.parse(await readFile(file, 'utf8')) as { results: Record<string, Measured> };
      const rows = (name: string) => results[name]!.rows;
      expect(rows('batching').map(({ concurrency }) => concurrency)).to.deep.equal([1, 8, 32]);
      for (const { tokens_per_s, static_tokens_per_s, ratio } of rows('batching'))
        expect(ratio).to.be.closeTo(tokens_per_s! / static_tokens_per_s!, 1e-9);
      const [long] = rows('long_prompts');
      expect(long!.ratio).to.be.closeTo(long!.whole_itl_p99_ms! / long!.itl_p99_ms!, 1e-9);
      const [alone] = rows('alone');
      expect(alone!.ratio).to.be.closeTo(alone!.tokens_per_s! / alone!.alone_tokens_per_s!, 1e-9);
      expect(rows('prefix')[0]!.cached_tokens).to.equal(512);
      // All tokens in the cache but at most the last one, which is computed by the step that makes the next.
      const [moving] = rows('moving');
      expect(moving!.moved_tokens).to.be.at.least(64 + 32 - 1);
      expect(moving!.moved_kib).to.be.above(0);
      expect(moving!.ratio).to.be.closeTo(moving!.anew_ms! / moving!.pause_ms!, 1e-9);
      const [waste] = rows('waste');
      expect(waste!.waste).to.be.within(0, 0.5);
      // A sequence never holds a whole block more than its tokens take; reserving holds the whole answer.
      expect(waste!.reserved_waste).to.be.above(waste!.waste!);
      for (const row of rows('http')) {
        expect(row.overhead_cpu_us).to.be.closeTo(row.http_cpu_us! - row.engine_cpu_us!, 1e-6);
        expect(row.overhead_wall_us).to.be.closeTo(row.http_wall_us! - row.engine_wall_us!, 1e-6);
      }
      for (const { formula, baseline } of Object.values(results)) {
        expect(context.printed()).to.include(formula).and.include(`baseline: ${baseline}`);
      }
    });
  });
});
