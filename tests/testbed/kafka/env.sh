# Sourced after lib.sh by Kafka's scripts: its address, its class path, and the folder of the
# broker of this port, so that brokers on different ports do not share anything but the jars.

kafka_port=${TESTBED_KAFKA_PORT:-19092}
kafka_address=127.0.0.1:$kafka_port
state=$home/$kafka_port
kafka_java=(java "-Dlog4j2.configurationFile=$here/log4j2.yaml" -cp "$home/libs/*")
