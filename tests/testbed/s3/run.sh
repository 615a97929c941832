#!/usr/bin/env bash
# run.sh CMD...: runs a command with an S3 server beside it: MILLRACE_TEST_S3 is its URL, MILLRACE_TEST_S3_BUCKET a bucket,
# MILLRACE_TEST_S3_DATA the folder of that bucket, for tests that damage objects, AWS_ACCESS_KEY_ID and
# AWS_SECRET_ACCESS_KEY are its keys, and MILLRACE_REQUIRE_S3=1 tells the tests to fail rather than skip without it.
# A server that was running stays; one that this script started is stopped by the last run.sh that uses it.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

stop() { "$here/stop.sh" --delete-data; }

while_used "running s3" stop "$here/start.sh"
export MILLRACE_TEST_S3=$s3_address MILLRACE_TEST_S3_BUCKET=$s3_bucket MILLRACE_TEST_S3_DATA=$state/data/$s3_bucket
export AWS_ACCESS_KEY_ID=$s3_key AWS_SECRET_ACCESS_KEY=$s3_secret MILLRACE_REQUIRE_S3=1
"$@" {users}>&-
