/** The compute kernels: one AssemblyScript module, compiled to kernels.wasm beside kernel_memory.js. Callers check sizes and bounds. */
export { heapBase, useStatics } from './memory/memory.as';
export { pack, stagingAt, stagingColumns, unpack } from './linear/panels.as';
export { exp } from './linear/math.as';
export { linear, setTile } from './linear/linear.as';
export { experts, ffn, sumChoices } from './experts/ffn.as';
export { addExperts, ffnLayer } from './experts/ffn_layer.as';
export { rmsNorm } from './linear/norm.as';
export { rope } from './attention/rope.as';
export { exp64 } from './router/exp64.as';
export { route, routeBytes } from './router/router.as';
export { routeLayer } from './router/route_layer.as';
export { argmax, topk } from './head/sampling.as';
export { embed, logitsOf } from './head/head.as';
export { linearTransposed } from './linear/transposed.as';
export { attend, attendBytes } from './attention/attend.as';
export { gqaLayer } from './attention/gqa_layer.as';
export { mlaLayer } from './attention/mla_layer.as';
