#!/bin/sh
# Starts Redis. The password goes into a file in memory: as an argument it would be in the list of processes.
set -eu
umask 077
settings="${SETTINGS:-/run/redis/redis.conf}"
{
    printf 'requirepass %s\n' "$REDIS_PASSWORD"
    printf 'maxmemory %s\n' "$MAXMEMORY_BYTES"
    echo 'dir /data'
    echo 'appendonly yes'
    echo 'save 300 1'
    if [ -n "${TLS_FOLDER:-}" ]; then
        echo 'port 0'
        echo 'tls-port 6379'
        echo 'tls-auth-clients no'
        echo "tls-cert-file $TLS_FOLDER/tls.crt"
        echo "tls-key-file $TLS_FOLDER/tls.key"
        echo "tls-ca-cert-file $TLS_FOLDER/ca.crt"
    fi
} >"$settings"
exec redis-server "$settings"
