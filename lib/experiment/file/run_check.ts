/** What is found only with the model: whether an engine of the configuration would start, and whether the workload suits it. */
import { totalmem } from 'node:os';
import { checkCompute } from '../../config/compute.js';
import { checkNames } from '../../config/name_check.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { openModel, pluginsOf, type OpenedModel } from '../../head/opened_model.js';
import { settledStart } from '../../head/settled_start.js';
import { checkRanksHere, checkTransport } from '../../job/start/transport.js';
import type { MeasureInfo } from '../base/measure_info.js';
import type { PlannedRun } from '../base/run.js';

/** What else looks at a run: that which only its measure's code knows. @throws whatever says what is wrong */
export type CheckRun = (run: PlannedRun) => Promise<void>;

/** As the commands would, without any rank. @throws whatever they throw */
export async function checkRun(run: PlannedRun, info: MeasureInfo, checkMore: CheckRun): Promise<void> {
  const { config, measure } = run;
  const model = info.hasEngine ? await checkedModel(config) : null;
  if (model === null) await checkPlugins(config);
  for (const key of info.configs ?? []) {
    const other = measure[key] as unknown;
    if (other !== null && other !== undefined) await checkedModel(other as ExpertwireConfig);
  }
  await info.check?.(run, model);
  await checkMore(run);
}

async function checkedModel(config: ExpertwireConfig): Promise<OpenedModel> {
  const { comm, parallel } = config;
  checkCompute(config);
  checkTransport(comm, parallel.ranks, 0, parallel.head_grace_ms);
  checkRanksHere(comm, parallel.ranks, totalmem());
  const model = await openModel(config);
  await settledStart(config, model, parallel.ranks);
  return model;
}

async function checkPlugins(config: ExpertwireConfig): Promise<void> {
  const { registry } = await pluginsOf(config.plugins);
  checkNames(config, registry.names);
}
