/**
 * For `node --import`: `@tensorflow/tfjs-node-gpu` is there, with a GPU that computes in JavaScript. See {@link withFakeGpus} for machines that have some.
 */
import { register } from 'node:module';

const fake = new URL('./fake_tfjs_node_gpu.js', import.meta.url).href;
const hooks = `export const resolve = (name, context, next) =>
  name === '@tensorflow/tfjs-node-gpu' ? { url: '${fake}', shortCircuit: true } : next(name, context);`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
