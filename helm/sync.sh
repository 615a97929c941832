#!/usr/bin/env bash
# Copies what the chart needs of the rest of the repository into its folder, since Helm reads nothing outside of it: the
# generated definitions. Run it after `generate-crds`.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
for definition in streamjob savepoint; do
  cp "$here/../crds/$definition.yaml" "$here/millrace/files/crds/$definition.yaml"
done
