"""How long llama.cpp takes to load a model, by PyPI's llama-cpp-python: python llama_cpp_load.py FILE.gguf

{"op": "load", "is_mapped": b}   milliseconds until the model is there, read or mapped; and until the first step after it, which reads what was mapped
"""
import sys

import llama_cpp

from orders import Stopwatch, serve


@llama_cpp.llama_log_callback
def be_quiet(level, text, _):
    if level >= 4:  # errors
        sys.stderr.write(text.decode("utf-8", "replace"))


def params_of(is_mapped):
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = 0
    if hasattr(params, "load_mode"):  # llama-cpp-python 0.3.36; before, a boolean
        params.load_mode = 1 if is_mapped else 0
    else:
        params.use_mmap = is_mapped
    return params


def first_step(model):
    context = llama_cpp.llama_init_from_model(model, llama_cpp.llama_context_default_params())
    batch = llama_cpp.llama_batch_init(1, 0, 1)
    batch.n_tokens, batch.token[0], batch.pos[0], batch.n_seq_id[0], batch.seq_id[0][0], batch.logits[0] = 1, 1, 0, 1, 0, 1
    if llama_cpp.llama_decode(context, batch) != 0:
        sys.exit("llama_decode failed")
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)


def load(path, is_mapped):
    with Stopwatch() as ready:
        with Stopwatch() as loaded:
            model = llama_cpp.llama_model_load_from_file(path.encode(), params_of(is_mapped))
        if not model:
            sys.exit(f"llama.cpp can't load {path}")
        first_step(model)
    llama_cpp.llama_model_free(model)
    return {"loaded_ms": loaded.ms, "ready_ms": ready.ms}


def main():
    path = sys.argv[1]
    llama_cpp.llama_log_set(be_quiet, None)
    llama_cpp.llama_backend_init()
    serve({"version": f"llama-cpp-python {llama_cpp.__version__}"}, {"load": lambda is_mapped: load(path, is_mapped)})


if __name__ == "__main__":
    main()
