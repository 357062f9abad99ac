#!/bin/sh
# Dumps one database into a file, looks whether the file can be read, and removes the oldest ones.
# PGHOST, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE: how to connect. BACKUPS: folder. KEEP: how many dumps stay.
set -eu
umask 077
rm -f "$BACKUPS"/*.part
dump="$BACKUPS/$PGDATABASE-$(date -u +%Y%m%dT%H%M%SZ).dump"
pg_dump --format=custom --no-password --file="$dump.part"
pg_restore --list "$dump.part" >/dev/null
mv "$dump.part" "$dump"
# The time is in the name, so that the order of names is that of age.
ls -1 "$BACKUPS" | grep -E "^$PGDATABASE-[0-9]{8}T[0-9]{6}Z\.dump$" | sort -r | tail -n "+$((KEEP + 1))" \
    | while IFS= read -r old; do rm -- "$BACKUPS/$old"; done
echo "wrote $dump ($(wc -c <"$dump") bytes)"
