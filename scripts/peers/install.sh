#!/bin/sh
# Makes the peers' Python for `expertwire bench peers`: install.sh DIR [llama.cpp] [transformers] [torch]; all three where none is named.
# llama.cpp is compiled for this machine's processor, which takes minutes and needs cmake and a C++ compiler.
set -eu
[ $# -ge 1 ] || { echo 'usage: install.sh DIR [llama.cpp] [transformers] [torch]' >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
shift
[ $# -ge 1 ] || set -- llama.cpp transformers torch

for peer in "$@"; do
  case $peer in llama.cpp | transformers | torch) ;; *) echo "there is no peer '$peer'" >&2; exit 2 ;; esac
done

mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
pip() { "$dir/venv/bin/pip" --disable-pip-version-check install --constraint "$here/constraints.txt" "$@"; }
# ggml's code for AMX dies of SIGILL on some machines whose processor has it (github.com/ggml-org/llama.cpp/pull/26954): compilers that know AMX are told to leave it out.
no_amx='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16'
${CXX:-c++} $no_amx -x c++ -fsyntax-only /dev/null 2>/dev/null || no_amx=
llama_cpp() {
  CMAKE_ARGS='-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF' CMAKE_BUILD_PARALLEL_LEVEL=${JOBS:-2} \
    CFLAGS="${CFLAGS:-} $no_amx" CXXFLAGS="${CXXFLAGS:-} $no_amx" pip --no-cache-dir --no-binary llama-cpp-python llama-cpp-python
}
pip gguf
for peer in "$@"; do
  case $peer in
  llama.cpp) llama_cpp ;;
  transformers) pip transformers torch ;;
  torch) pip torch ;;
  esac
done
