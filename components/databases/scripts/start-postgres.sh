#!/bin/sh
# Starts PostgreSQL. Where there is data already, the owner first gets the password that is declared now: a volume
# outlives the stack that made it, and a password may be rotated.
set -eu
if [ -s "$PGDATA/PG_VERSION" ]; then
    # Letters, digits, - and _ alone: nothing to escape.
    case "$POSTGRES_PASSWORD" in
        *[!A-Za-z0-9_-]*) echo "the password has letters that it must not have" >&2; exit 1 ;;
    esac
    # Answers nobody but its standard input. After a crash it replays the log first.
    printf "ALTER ROLE \"%s\" PASSWORD '%s'\n" "$POSTGRES_USER" "$POSTGRES_PASSWORD" \
        | postgres --single -D "$PGDATA" -c password_encryption=scram-sha-256 postgres >/dev/null
fi
exec "${ENTRYPOINT:-docker-entrypoint.sh}" postgres "$@"
