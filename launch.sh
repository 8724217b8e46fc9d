#!/usr/bin/env bash
# Makes this machine ready (Node.js version, npm ci, build when stale) and runs expertwire on it.
#   ./launch.sh                                  the demo: four ranks continue four kinds of text
#   ./launch.sh [CONFIG] [OPTIONS] [-- COMMAND]  see ./launch.sh --help
set -euo pipefail

# The folder of the script itself, also where it is called through links.
self=${BASH_SOURCE[0]}
while [ -L "$self" ]; do
  target=$(readlink "$self")
  case $target in /*) self=$target ;; *) self=$(dirname "$self")/$target ;; esac
done
here=$(cd "$(dirname "$self")" && pwd)
say() { printf 'launch.sh: %s\n' "$*" >&2; }

check_node() {
  local minimum='20.19.0' found
  if ! found=$(node --version 2>/dev/null); then
    say "Node.js is not installed; install version $minimum or newer from https://nodejs.org"
    exit 1
  fi
  found=${found#v}
  if [ "$(printf '%s\n%s\n' "$minimum" "$found" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" != "$minimum" ]; then
    say "Node.js $found is too old; install version $minimum or newer from https://nodejs.org"
    exit 1
  fi
}

# npm writes this file at the end of an installation.
needs_install() { [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; }

# Only what this call runs is compiled: the product, and the benchmarks where one of them is called.
part=product sources=(base comm compute experts lib)
case " $* " in *' -- bench '*) part=bench sources+=(bench) ;; esac

needs_build() {
  [ ! -f "dist/.built.$part" ] ||
    [ -n "$(find "${sources[@]}" package.json tsconfig.json -newer "dist/.built.$part" -print -quit 2>/dev/null)" ]
}

make_ready() { # standard input is the program's: it may bring a secret
  if needs_install; then
    say 'installing packages (npm ci)'
    npm ci --no-fund --no-audit --no-update-notifier --loglevel=error >&2
  fi
  if needs_build; then
    say 'building'
    node scripts/build.mjs "$part" >&2
  fi
}

# Several tasks may start from one folder at once: one of them makes it ready, the others wait for it. The system frees the lock of a task that
# was killed. Where there is no flock (macOS), start one at a time.
with_lock() {
  if ! command -v flock >/dev/null; then
    "$@"
    return
  fi
  if [ ! -w "$here" ]; then
    say "$here has to be installed or compiled anew, and this user can't write there; run ./launch.sh as its owner"
    exit 1
  fi
  exec 9>"$here/.launch.lock"
  flock 9
  "$@" 9>&-
  exec 9>&-
}

check_node
cd "$here"
if needs_install || needs_build; then with_lock make_ready </dev/null; fi
cd "$OLDPWD"
exec node --no-warnings "$here/dist/lib/cli.js" launch "$@"
