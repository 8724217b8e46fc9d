/** The compute kernels: one AssemblyScript module, compiled to kernels.wasm beside kernel_memory.js. Callers check sizes and bounds. */
export { heapBase } from './memory.as';
export { decode, encode, stagingAt, stagingValues } from './convert.as';
export { exp } from './math.as';
export { linear } from './linear.as';
export { experts, ffn, sumChoices } from './ffn.as';
export { addExperts, ffnLayer } from './ffn_layer.as';
export { rmsNorm } from './norm.as';
export { rope } from './rope.as';
export { exp64 } from './exp64.as';
export { route, routeBytes } from './router.as';
export { routeLayer } from './route_layer.as';
export { argmax, topk } from './sampling.as';
export { embed, logitsOf } from './head.as';
export { linearTransposed } from './transposed.as';
export { attend, attendBytes } from './attend.as';
export { gqaLayer } from './gqa_layer.as';
export { mlaLayer } from './mla_layer.as';
