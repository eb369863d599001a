# Sourced by the scripts beside it: `set_up demo|dev` makes the virtual environment they run in, and `set_up_python
# VERSION PYTHON` one beside it in which tests run on that version.
#
# Needs Python 3.11 or newer and git, nothing else: uv when there is one, pip otherwise. What is installed comes from
# the hashed locks in requirements/; the three members are installed from the checkout, editable. A second call finds
# its stamp and returns at once.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
VENV="$ROOT/.venv"

# A caller's Python settings must not reach into the environment that is made here. Without compiled files each of the
# thousands of processes that the tests start would compile all it imports, and take twice the time.
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring

# Where HOME is missing or read-only, the tools' caches go into the checkout.
if [ -z "${HOME:-}" ] || [ ! -w "${HOME:-/nonexistent}" ]; then
  export XDG_CACHE_HOME="${XDG_CACHE_HOME:-$ROOT/.venv-cache}"
  export UV_CACHE_DIR="${UV_CACHE_DIR:-$XDG_CACHE_HOME/uv}" PIP_CACHE_DIR="${PIP_CACHE_DIR:-$XDG_CACHE_HOME/pip}"
fi

# pip trusts the machine's certificate authorities, uv only when told.
if [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || [ -e /etc/ssl/cert.pem ]; then
  export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}" UV_NATIVE_TLS="${UV_NATIVE_TLS:-true}"
fi

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# suits PYTHON LOWEST HIGHEST: is this a CPython whose 3.x lies in between?
suits() {
  "$1" -c "import sys; sys.exit(not (sys.implementation.name == 'cpython' and $2 <= sys.version_info[1] <= $3))" \
    >/dev/null 2>&1
}

# find_python LOWEST HIGHEST NAME...: the path of the first that suits.
find_python() {
  local lowest="$1" highest="$2" name
  shift 2
  for name in "$@"; do
    if suits "$name" "$lowest" "$highest"; then
      # A version manager's shim answers for itself only in its own shell, so the interpreter says where it is.
      "$name" -c 'import os, sys; print(os.path.realpath(sys.executable))'
      return 0
    fi
  done
  return 1
}

python_for_the_checkout() {
  if [ -n "${PYTHON:-}" ]; then
    suits "$PYTHON" 11 99 || die "PYTHON is set to $PYTHON, which is not a CPython 3.11 or newer that runs here."
    printf '%s\n' "$PYTHON"
    return 0
  fi
  find_python 11 13 python3 python3.13 python3.12 python3.11 python ||
    find_python 14 99 python3 python3.14 python ||
    die "Standpipe needs Python 3.11 or newer, and none of python3, python3.13, python3.12 and python3.11 is one.
Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13) or name it in PYTHON."
}

has_uv() { [ -z "${STANDPIPE_WITHOUT_UV:-}" ] && uv --version >/dev/null 2>&1; }

make_venv() { # FOLDER PYTHON
  if has_uv; then
    uv venv --quiet --python "$2" "$1"
  else
    "$2" -c 'import ensurepip, venv' 2>/dev/null ||
      die "$2 cannot make virtual environments: its venv or ensurepip module is missing.
Install it (Debian, Ubuntu: apt install python3-venv), or install uv, and run this again."
    "$2" -m venv "$1"
  fi
}

install_into() { # FOLDER LOCK MEMBER...
  local venv="$1" lock="$2" member
  shift 2
  local editable=()
  for member in "$@"; do editable+=(-e "./$member"); done
  # First what builds packages; after that nothing is built in an isolated environment with packages nobody pinned.
  if has_uv; then
    local install=(uv pip install --quiet --python "$venv/bin/python")
    "${install[@]}" --require-hashes -r requirements/build.txt
    "${install[@]}" --no-build-isolation --require-hashes -r "$lock"
    "${install[@]}" --no-build-isolation --no-deps "${editable[@]}"
    uv pip check --quiet --python "$venv/bin/python"
  else
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
    # The locks name every package, so nothing is left to resolve.
    local install=("$venv/bin/python" -m pip install --quiet --no-deps)
    "${install[@]}" --require-hashes -r requirements/build.txt
    "${install[@]}" --no-build-isolation --use-pep517 --require-hashes -r "$lock"
    "${install[@]}" --no-build-isolation "${editable[@]}"
    "$venv/bin/python" -m pip check >/dev/null
  fi
}

# What an environment was made from; when that changes it is brought up to date.
stamp_of() { cat "$@" pyproject.toml ./*/pyproject.toml scripts/_setup.sh | cksum; }

# Programs in a virtual environment name its path: one that was moved with its checkout is of no use.
is_at_home() { [ ! -e "$1/standpipe-root" ] || [ "$(cat "$1/standpipe-root")" = "$ROOT" ]; }

# The server's pages, when they are out of step. Without them everything else works, so that is all that is said.
build_pages() {
  "$VENV/bin/python" server/build_pages.py ||
    say "The server's pages are not built; it answers with that where they would be."
}

set_up() { # demo|dev
  # The development environment holds all the demo needs.
  if [ "$1" = demo ] && is_made "$VENV" dev; then return 0; fi
  is_made "$VENV" "$1" || make_environment "$VENV" "$1" "" client_sdk server orchestrator
}

# The SDK alone has to run on 3.10, where what server and orchestrator require cannot be installed.
set_up_python() { # VERSION PYTHON
  local venv="$ROOT/.venv-$1" profile=tests members=(client_sdk server orchestrator)
  if [ "$1" = 3.10 ]; then profile=sdk310 members=(client_sdk); fi
  is_made "$venv" "$profile" || make_environment "$venv" "$profile" "$2" "${members[@]}"
}

stamp_now() { stamp_of requirements/build.txt "requirements/$1.txt"; }

runs_python() { [ -x "$1/bin/python" ] && suits "$1/bin/python" 10 99; }

is_made() { # FOLDER PROFILE
  is_at_home "$1" && runs_python "$1" && [ "$(cat "$1/standpipe-$2.stamp" 2>/dev/null)" = "$(stamp_now "$2")" ]
}

make_environment() { # FOLDER PROFILE PYTHON (or nothing: the checkout's) MEMBER...
  local venv="$1" profile="$2" python="$3" lock="requirements/$2.txt"
  shift 3
  if ! is_at_home "$venv" || ! runs_python "$venv"; then
    python="${python:-$(python_for_the_checkout)}"
    say "Making a virtual environment in ${venv#"$ROOT"/} with $("$python" --version)."
    rm -rf "$venv"
    make_venv "$venv" "$python"
  fi
  printf '%s\n' "$ROOT" >"$venv/standpipe-root"
  say "Installing from $lock with $(if has_uv; then echo uv; else echo pip; fi)."
  rm -f "$venv"/standpipe-*.stamp
  install_into "$venv" "$lock" "$@"
  stamp_now "$profile" >"$venv/standpipe-$profile.stamp"
}
