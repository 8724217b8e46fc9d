/** Gathering what one turn of the event loop brings. */

/** A function that has `work` done when this turn ends: once, however often it is called. */
export function atTurnEnd(work: () => void): () => void {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    process.nextTick(() => {
      isDue = false;
      work();
    });
  };
}
