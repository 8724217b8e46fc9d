/** What an option was probably meant to be. Pure. */
import { keyPaths } from '../../config/layers.js';
import { closeName, dashed, nearestName, withMoreWords } from './near_names.js';

/** What is known of a command where its line is wrong. */
export interface KnownCommand {
  /** 'generate', 'bench serve'; '': none was given. */
  readonly name: string;
  /** Names of its options, with dashes between words and none before them. */
  readonly options: readonly string[];
  /** Its values in brackets, as help shows them: '<dir>'. */
  readonly positionals?: string;
}

/** Options by command, of all others. */
export type OtherCommands = ReadonlyMap<string, readonly string[]>;

/** What other programs call what these are. */
const CALLED: Readonly<Record<string, readonly string[]>> = {
  'max-new-tokens': ['n-predict', 'max-length', 'num-predict', 'max-completion-tokens', 'n'],
  ranks: ['tensor-parallel-size', 'expert-parallel-size', 'tp', 'ep', 'np', 'num-ranks', 'world-size', 'num-gpus'],
  model: ['model-path', 'checkpoint', 'ckpt', 'hf-repo', 'model-name-or-path', 'm'],
  prompt: ['input', 'p'],
  messages: ['conversation'],
  temperature: ['temp', 't'],
  backend: ['device'],
  system: ['system-prompt'],
  help: ['usage'],
};

/** Sections of the configuration that only some commands read. */
const SECTION_READERS: Readonly<Record<string, readonly string[]>> = {
  server: ['serve'],
  cluster: ['serve', 'cluster', 'route'],
  router: ['cluster', 'route'],
  instances: ['cluster', 'route'],
  generate: ['generate', 'serve', 'chat'],
};

/** @param given as it was written, with its dashes: '--modle', '-model'; `own`: the command's; `others`: of the other commands */
export function adviceOnOption(given: string, own: KnownCommand, others: OtherCommands = new Map()): string {
  const name = dashed(given.replace(/^-+/, ''));
  const meant = ownMeant(name, own) ?? keyMeant(name, own) ?? otherMeant(name, others) ?? nearMeant(name, own);
  const program = ['expertwire', own.name].filter((part) => part !== '').join(' ');
  return `there is no option ${given}; ${meant ?? `${program} --help lists what there is`}`;
}

const didYouMean = (what: string | undefined): string | undefined =>
  what === undefined ? undefined : `did you mean ${what}?`;
const option = (name: string | undefined): string | undefined => (name === undefined ? undefined : `--${name}`);

/** The same name in another spelling, with fewer words or another letter, or what other programs call it. */
function ownMeant(name: string, { options }: KnownCommand): string | undefined {
  const same = options.find((own) => own === name);
  const called = options.find((own) => CALLED[own]?.includes(name));
  return didYouMean(option(same ?? called ?? withMoreWords(name, options) ?? closeName(name, options)));
}

/** A key of the configuration, for commands that take any. */
function keyMeant(name: string, { name: command, options }: KnownCommand): string | undefined {
  if (!options.includes('set') || !options.includes('config')) return undefined;
  const path = keyPaths().find(([section, ...rest]) => {
    const readers = SECTION_READERS[section!];
    return dashed(rest.at(-1) ?? section!) === name && (readers === undefined || readers.includes(command));
  });
  return path === undefined ? undefined : didYouMean(`--set ${path.join('.')}=VALUE`);
}

/** Of other commands. */
function otherMeant(name: string, others: OtherCommands): string | undefined {
  const found = [...others].flatMap(([command, options]) => (options.includes(name) ? [command] : []));
  return found.length === 0 ? undefined : `--${name} is an option of ${found.join(', ')}`;
}

const nearMeant = (name: string, { options }: KnownCommand): string | undefined =>
  didYouMean(option(nearestName(name, options)));
