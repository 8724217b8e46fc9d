/** From triggers of a file to those of a job. Pure. */
import { Cron } from 'croner';
import { causeText, shown } from '../../../base/foreign_text.js';
import { errorAt, type OriginOf } from '../../experiment/file/checked_part.js';
import type { Trigger } from '../base/job.js';
import type { TriggerFile } from './job_schema.js';

type Path = readonly PropertyKey[];

/** @throws ConfigError */
export function triggerOf(file: TriggerFile, path: Path, originOf: OriginOf): Trigger {
  const given = (['cron', 'every_s', 'after'] as const).filter((name) => file[name] !== undefined);
  if (given.length !== 1) {
    const what = given.length === 0 ? 'none' : given.join(' and ');
    throw errorAt(
      originOf,
      path,
      'INVALID_VALUE',
      `a trigger has one of cron, every_s and after, and this one has ${what}; give one`,
    );
  }
  checkBeside(file, given[0]!, path, originOf);
  if (file.after !== undefined) return { kind: 'after', job: file.after, on: file.on ?? 'success' };
  if (file.every_s !== undefined) return { kind: 'every', everyMs: 1000 * file.every_s };
  return { kind: 'cron', ...cronOf(file.cron!, file.timezone ?? 'UTC', path, originOf) };
}

/** What would do nothing beside it. */
function checkBeside(file: TriggerFile, kind: string, path: Path, originOf: OriginOf): void {
  for (const [name, owner] of [
    ['timezone', 'cron'],
    ['on', 'after'],
  ] as const) {
    if (file[name] === undefined || kind === owner) continue;
    throw errorAt(
      originOf,
      [...path, name],
      'INVALID_VALUE',
      `"${name}" belongs to "${owner}", which this trigger doesn't have; remove it`,
    );
  }
}

/** What both NATS' schedules and croner read: numbers, names, lists, ranges, steps. */
const FIELD =
  /^(?:\*|\d+|[A-Za-z]{3})(?:-(?:\d+|[A-Za-z]{3}))?(?:\/\d+)?(?:,(?:\*|\d+|[A-Za-z]{3})(?:-(?:\d+|[A-Za-z]{3}))?(?:\/\d+)?)*$/;

/** With six fields. */
function cronOf(
  text: string,
  timezone: string,
  path: Path,
  originOf: OriginOf,
): { readonly cron: string; readonly timezone: string } {
  const fail = (name: string, why: string): never => {
    throw errorAt(originOf, [...path, name], 'INVALID_VALUE', why);
  };
  if (!isTimezone(timezone))
    fail(
      'timezone',
      `"timezone" is ${shown(timezone)}, which there isn't; give a name of the IANA database such as Europe/Berlin`,
    );
  const fields = text.trim().split(/\s+/);
  const wrong = fields.find((field) => !FIELD.test(field));
  if (![5, 6].includes(fields.length) || wrong !== undefined) {
    const why =
      wrong === undefined || fields.length < 5 || fields.length > 6
        ? `it has ${fields.length} fields`
        : `${shown(wrong)} is no field`;
    fail(
      'cron',
      `"cron" is ${shown(text)}, but ${why}; give five fields (minute hour day month weekday) or six, seconds first`,
    );
  }
  const cron = fields.length === 5 ? ['0', ...fields].join(' ') : fields.join(' ');
  try {
    if (new Cron(cron, { timezone, paused: true }).nextRun() === null)
      fail('cron', `"cron" is ${shown(text)}, which never comes; give another one`);
  } catch (cause) {
    if (cause instanceof Error && cause.name === 'ConfigError') throw cause;
    fail(
      'cron',
      `"cron" is ${shown(text)}, but it can't be read (${causeText(cause)}); give five fields or six, seconds first`,
    );
  }
  return { cron, timezone };
}

function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
