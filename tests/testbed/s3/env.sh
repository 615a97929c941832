# Sourced after lib.sh by the scripts of the S3 server: its address and its keys, which are for tests alone, and
# the folder of the one on this port.

s3_port=${TESTBED_S3_PORT:-17070}
s3_address=http://127.0.0.1:$s3_port
s3_key=test
s3_secret=testsecret
s3_bucket=millrace-test
state=$home/$s3_port
