#!/usr/bin/env bash
# Starts an S3 server on http://127.0.0.1:${TESTBED_S3_PORT:-17070}, path style, with the keys and the bucket of env.sh;
# does nothing where it runs. Ready in 0.2 s, 35 MiB. What it stores stays when it is stopped.
set -euo pipefail
"$(dirname "$0")/install.sh"
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

locked
running s3 && exit 0

# A folder is a bucket.
mkdir -p "$state/data/$s3_bucket"
rm -f "$state/.started-by-run"
free_port "$s3_port" TESTBED_S3_PORT
ROOT_ACCESS_KEY=$s3_key ROOT_SECRET_KEY=$s3_secret launch s3 "$home/bin/versitygw" --port "127.0.0.1:$s3_port" --quiet \
  posix "$state/data"
await s3 20 listens "$s3_port"
