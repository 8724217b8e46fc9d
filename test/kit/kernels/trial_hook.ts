/**
 * Loaded before a process by `NODE_OPTIONS=--import=…`: what goes wrong in a trial of the kernels, as the variable TRIAL_HOOK says. Every other process runs as it is.
 * - `crash`: the process ends when it is to compute at 256 bits.
 * - `rounds_twice`: its processor doesn't fuse.
 */
const [, file = '', what = ''] = process.argv;
if (file.endsWith('try_kernels.js')) {
  const hook = process.env.TRIAL_HOOK;
  if (hook === 'crash' && what === 'width') process.abort();
  if (hook === 'rounds_twice') {
    const send = process.send!.bind(process) as (message: object, ...rest: unknown[]) => boolean;
    const changed = (message: object): object => ('isFused' in message ? { ...message, isFused: false } : message);
    process.send = ((message: object, ...rest: unknown[]) => send(changed(message), ...rest)) as NonNullable<
      typeof process.send
    >;
  }
}

/** The environment of a process whose trials go wrong so. Its home is one where nothing is known yet. */
export const hookedTrial = (hook: 'crash' | 'rounds_twice', home: string): Readonly<Record<string, string>> => ({
  ...{ NODE_OPTIONS: `--import=${import.meta.url}`, TRIAL_HOOK: hook, HOME: home },
});
