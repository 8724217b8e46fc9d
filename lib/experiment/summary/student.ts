/** Quantiles of Student's t distribution. Pure. Why: docs/decisions/experiments.md#an-interval-says-what-was-drawn-anew */

/** Halvings of an angle: what is left is below the last bit of a double. */
const NUM_HALVINGS = 60;

/**
 * The t within which, either side of 0, `share` of the distribution lies: 0.95 with 9 degrees of freedom gives 2.262.
 *
 * @param numFreedoms whole, 1 at least
 * @param share above 0, below 1
 */
export function twoSidedT(numFreedoms: number, share: number): number {
  let [low, high] = [0, Math.PI / 2];
  for (let i = 0; i < NUM_HALVINGS; i++) {
    const middle = (low + high) / 2;
    if (shareWithin(middle, numFreedoms) < share) low = middle;
    else high = middle;
  }
  return Math.sqrt(numFreedoms) * Math.tan(low);
}

/** P(|T| ≤ √ν·tan θ): a finite series for whole ν. Abramowitz and Stegun, 26.7.3 and 26.7.4. */
function shareWithin(theta: number, numFreedoms: number): number {
  const [sine, cosine] = [Math.sin(theta), Math.cos(theta)];
  const isOdd = numFreedoms % 2 === 1;
  let [term, sum] = [isOdd ? cosine : 1, 0];
  for (let power = isOdd ? 1 : 0; power <= numFreedoms - 2; power += 2) {
    sum += term;
    term *= (cosine * cosine * (power + 1)) / (power + 2);
  }
  return isOdd ? (2 / Math.PI) * (theta + sine * sum) : sine * sum;
}
