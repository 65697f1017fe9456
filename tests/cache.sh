# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154 # suite is set by them
# What is kept between runs, for scripts that source this: roots of Debian suites and what is made of them.
cache=${PENSTOCK_CACHE:-/var/cache/penstock-tests}
# The mirror of Debian that this host uses, among what else its sources name.
mirror=${PENSTOCK_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -Ev '^[[:space:]]*#' | grep -Eo 'https?://[^ ]*/debian/?( |$)' | head -n 1 | tr -d ' ' || true)}
mirror=${mirror:-http://deb.debian.org/debian}

# keep NAME RECIPE COMMAND...: the file $cache/NAME, made by COMMAND (which writes to $1.new) unless it is fresh.
keep() {
    local file=$cache/$1 recipe
    recipe=$(printf '%s' "$2" | sha256sum | cut -c1-16)
    shift 2
    if [ -s "$file" ] && [ "$(cat "$file.recipe" 2>/dev/null)" = "$recipe" ] && [ -z "$(find "$file" -mtime +7)" ]; then
        return
    fi
    echo "making $file" >&2
    rm -rf "$file.new"
    "$@" "$file.new"
    mv "$file.new" "$file"
    printf '%s' "$recipe" >"$file.recipe"
}

bootstrap() { # PACKAGES FILE
    mmdebstrap --quiet --variant=minbase --format=tar --include="$1" --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$2" "$mirror" </dev/null >&2
}
