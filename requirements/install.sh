#!/bin/sh
# Makes .venv (or $VENV) with everything that requirements/dev.txt pins, and this project itself as an editable install.
# EXTRAS="kubernetes aws" adds requirements/kubernetes.txt and aws.txt; an extra that is in there once stays in it,
# so that targets with different extras do not install in turns.
# Does nothing when it already holds exactly that. Uses uv when it works here, else venv and pip.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE PYTHONHOME || true

venv="${VENV:-.venv}"
stamp="$venv"/requirements.stamp
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

if [ -x "$venv"/bin/python ] && "$venv"/bin/python -c "$new_enough" 2>/dev/null; then
  present=yes
else
  rm -rf "$venv"
  present=
fi

extras=
pins="-r requirements/dev.txt"
files=requirements/dev.txt
for extra in $(printf '%s\n' ${EXTRAS:-} $(cat "$venv"/requirements.extras 2>/dev/null) | sort -u); do
  case "$extra" in
    aws|azure|gcp|kubernetes) ;;
    *) echo "There is no extra $extra: EXTRAS takes aws, azure, gcp and kubernetes." >&2; exit 1 ;;
  esac
  extras="$extras $extra"
  pins="$pins -r requirements/$extra.txt"
  files="$files requirements/$extra.txt"
done
wanted="$extras $(cat $files pyproject.toml requirements/install.sh | cksum)"
if [ -n "$present" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

have_uv=
if uv --version >/dev/null 2>&1; then have_uv=yes; fi

if [ ! -d "$venv" ]; then
  python=
  for name in "${PYTHON:-python3}" python3.11 python3.12 python3.13 python3.14 python3; do
    if "$name" -c "$new_enough" >/dev/null 2>&1; then python="$name"; break; fi
  done
  if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed and none was found (tried python3 and python3.11 to 3.14; PYTHON=... names another)." >&2
    exit 1
  fi
  path="$("$python" -c 'import sys; print(sys.executable)')"
  echo "Making $venv with $("$path" --version) and ${have_uv:+uv}${have_uv:-pip}" | sed 's/uvyes$/uv/' >&2
  if [ -n "$have_uv" ]; then
    uv venv --quiet --python "$path" "$venv"
  elif ! "$path" -m venv "$venv" 2>.venv-error; then
    rm -rf "$venv"
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
  uv pip install --quiet --python "$venv"/bin/python --require-hashes $pins
  uv pip install --quiet --python "$venv"/bin/python --no-deps --no-build-isolation -e .
else
  "$venv"/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes $pins
  "$venv"/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
printf '%s\n' $extras >"$venv"/requirements.extras
printf '%s' "$wanted" >"$stamp"
