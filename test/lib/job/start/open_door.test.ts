import { expect } from 'chai';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Rendezvous } from '../../../../comm/job/rendezvous.js';
import { createPlacement } from '../../../../experts/placement/placement.js';
import { loadConfig } from '../../../../lib/config/load.js';
import { withLossPolicy } from '../../../../lib/config/loss_policy.js';
import { openModel } from '../../../../lib/head/opened_model.js';
import { newcomersOf } from '../../../../lib/job/start/open_door.js';
import { moeLayersOf } from '../../../../lib/model/spec/spec.js';
import type { RankJob } from '../../../../lib/protocol/rank_job.js';
import { WeightError } from '../../../../lib/weights/errors.js';
import { reportOf } from '../../../kit/engine/local_seats.js';
import { copyModel } from '../../../kit/model/model_copy.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

describe('what a newcomer from elsewhere is compared with', () => {
  it('is read when the first one comes, and again where it could not be read then', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(tinyModel('tiny-qwen3-moe'), dir);
      const config = withLossPolicy(await loadConfig({ base: { model: dir, parallel: { ranks: 2 } } }), 4);
      const { spec, limits } = await openModel(config);
      const { numExperts } = spec.moe.gate;
      const placement = createPlacement('linear', { numLayers: moeLayersOf(spec).length, numExperts, numRanks: 2 });
      const expertDigests = new Map<string, string>();
      const first = { job: {} as RankJob, agreed: { fma: false }, reports: [reportOf(0)], expertDigests };
      const rendezvous = {} as Pick<Rendezvous, 'stayOpen'>; // its door is open already
      const newcomers = newcomersOf({ config, spec, limits, placement, numLocalRanks: 2 }, rendezvous, first);
      const elsewhere = { ...reportOf(2), expertDigests: {} };
      const file = join(dir, 'model.safetensors');

      await newcomers.check(2, reportOf(2)); // it reads the head's folder
      await rename(file, `${file}.away`);
      await errorOf(WeightError, () => newcomers.check(2, elsewhere));
      expect(expertDigests.size).to.equal(0);
      await rename(`${file}.away`, file);
      await newcomers.check(2, elsewhere);
      expect(expertDigests.size).to.equal(moeLayersOf(spec).length * numExperts);
      await rename(file, `${file}.away`);
      await newcomers.check(3, elsewhere); // known by now
      newcomers.close?.();
    });
  });
});
