/** Mocha's spec output, closed by one line that counts: `12 passed, 0 failed, 1 skipped`. */
import Mocha from 'mocha';

export default class ClosingLineReporter extends Mocha.reporters.Spec {
  /** Replaces mocha's coloured summary by the details of the failures and the closing line. */
  override epilogue(): void {
    const { passes, failures, pending } = this.stats;
    if (this.failures.length > 0) Mocha.reporters.Base.list(this.failures);
    const skipped = pending > 0 ? `, ${pending} skipped` : '';
    process.stdout.write(`\n${passes} passed, ${failures} failed${skipped}\n`);
  }
}
