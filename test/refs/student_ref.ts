/** Student's t distribution by its definition: its density, integrated; slow. */

/** Quantile of the share that lies within ±t: Newton's method on {@link shareWithinRef}. */
export function twoSidedTRef(numFreedoms: number, share: number): number {
  let t = 1;
  for (let i = 0; i < 100; i++) {
    const step = (shareWithinRef(t, numFreedoms) - share) / (2 * density(t, numFreedoms));
    t = Math.max(t / 4, t - Math.max(-2 * t, step));
  }
  return t;
}

/** P(|T| ≤ t): Simpson's rule on t = √ν·tan θ, which makes every tail finite. */
export function shareWithinRef(t: number, numFreedoms: number, numPanels = 2000): number {
  const end = Math.atan(t / Math.sqrt(numFreedoms));
  const width = end / numPanels;
  let sum = 0;
  for (let i = 0; i <= numPanels; i++) {
    const weight = i === 0 || i === numPanels ? 1 : i % 2 === 1 ? 4 : 2;
    sum += weight * Math.cos(i * width) ** (numFreedoms - 1);
  }
  return 2 * Math.sqrt(numFreedoms) * factor(numFreedoms) * ((sum * width) / 3);
}

const density = (t: number, numFreedoms: number): number =>
  factor(numFreedoms) * (1 + (t * t) / numFreedoms) ** (-(numFreedoms + 1) / 2);

/** Γ((ν+1)/2) / (√(νπ)·Γ(ν/2)). */
const factor = (numFreedoms: number): number =>
  Math.exp(logGamma((numFreedoms + 1) / 2) - logGamma(numFreedoms / 2)) / Math.sqrt(numFreedoms * Math.PI);

/** Of halves and whole numbers: Γ(x+1) = x·Γ(x). */
function logGamma(x: number): number {
  let log = Number.isInteger(x) ? 0 : Math.log(Math.PI) / 2;
  for (let y = x - 1; y > 0; y--) log += Math.log(y);
  return log;
}
