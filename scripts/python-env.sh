#!/usr/bin/env bash
# Prints the path of a Python that has what examples and tests need (their requirements.txt), and makes it first
# where it is missing: a virtual environment in the cache folder, remade when the requirements change.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
requirements=("$root"/{examples,tests}/requirements.txt)
environment=${XDG_CACHE_HOME:-$HOME/.cache}/millrace/python
stamp=$environment/requirements.sha256
wanted=$( (python3 --version; cat "${requirements[@]}") | sha256sum)

mkdir -p "$(dirname "$environment")"
exec 9>"$environment.lock"
flock 9
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  "$root/tests/testbed/system.sh" python >&2
  echo "making a Python environment in $environment" >&2
  rm -rf "$environment"
  python3 -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "${requirements[@]/#/-r}" >&2
  echo "$wanted" >"$stamp"
fi
echo "$environment/bin/python"
