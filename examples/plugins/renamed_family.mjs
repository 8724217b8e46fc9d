/** A family that is another one under a new name, with half of its choices per token: what a fork of a model is mostly made of. */

/** @type {import('expertwire').Plugin} */
export default (api, { name = 'my_moe', like = 'qwen3_moe' }) =>
  api.registerFamily(name, (config, own) => {
    const spec = own({ ...config, model_type: like });
    const numTopk = Math.ceil(spec.moe.gate.numTopk / 2);
    return { ...spec, moe: { ...spec.moe, gate: { ...spec.moe.gate, numTopk } } };
  });
