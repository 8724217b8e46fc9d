/** Keeps a core busy, as other work of a machine does. */
import { obey } from '../base/helper_process.js';

/** At a stretch: then it hears whether it is to end. */
const SLICE_MS = 50;

function burn(): void {
  const end = performance.now() + SLICE_MS;
  while (performance.now() < end);
  setImmediate(burn);
}

obey(() => {
  setImmediate(burn);
  return {};
});
