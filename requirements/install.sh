#!/bin/sh
# Makes .venv with everything that requirements/dev.txt pins, and this project itself as an editable install.
# Does nothing when .venv already holds exactly that. Uses uv when it works here, else venv and pip.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE PYTHONHOME || true

wanted="$(cat requirements/dev.txt pyproject.toml requirements/install.sh | cksum)"
stamp=.venv/requirements.stamp
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

if [ -x .venv/bin/python ] && .venv/bin/python -c "$new_enough" 2>/dev/null; then
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
else
  rm -rf .venv
fi

have_uv=
if uv --version >/dev/null 2>&1; then have_uv=yes; fi

if [ ! -d .venv ]; then
  python=
  for name in "${PYTHON:-python3}" python3.11 python3.12 python3.13 python3.14 python3; do
    if "$name" -c "$new_enough" >/dev/null 2>&1; then python="$name"; break; fi
  done
  if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed and none was found (tried python3 and python3.11 to 3.14; PYTHON=... names another)." >&2
    exit 1
  fi
  path="$("$python" -c 'import sys; print(sys.executable)')"
  echo "Making .venv with $("$path" --version) and ${have_uv:+uv}${have_uv:-pip}" | sed 's/uvyes$/uv/' >&2
  if [ -n "$have_uv" ]; then
    uv venv --quiet --python "$path" .venv
  elif ! "$path" -m venv .venv 2>.venv-error; then
    rm -rf .venv
    if "$path" -c 'import ensurepip' 2>/dev/null; then cat .venv-error >&2; else
      echo "$path cannot make a virtual environment: install its venv package (on Debian: python3-venv)." >&2
    fi
    rm -f .venv-error
    exit 1
  fi
  rm -f .venv-error
fi

rm -f "$stamp"
if [ -n "$have_uv" ]; then
  uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements/dev.txt
  uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
else
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
printf '%s' "$wanted" >"$stamp"
