# shellcheck shell=bash
# setup.sh - installs what is missing on Debian 12. Sourced by ./check and ./demo.

# What a program of Debian is needed for, as PACKAGE entries; the caller lists its own on top.
SETUP_BUILD=(gcc libc6-dev make openjdk-17-jdk-headless maven unzip util-linux procps libslurm-dev)
SETUP_SLURM=(slurmctld slurmd slurm-client munge)
SETUP_TESTS=(g++ libcmocka-dev python3 python3-numpy xz-utils sqlite3 iproute2)
SETUP_LINT=(clang-format-14 clang-tidy-14 cppcheck shellcheck yamllint black python3-flake8 flake8 mypy git)

setup_missing() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed || printf '%s\n' "$package"
    done
}

# Prints the words that make the following command run as root; fails where there is no way.
setup_root() {
    if [ "$(id -u)" = 0 ]; then
        return 0
    fi
    command -v sudo > /dev/null || return 1
    # A password can be asked for only where somebody sits.
    if [ -t 0 ]; then echo sudo; else sudo -n true 2> /dev/null && echo 'sudo -n'; fi
}

# setup_packages PACKAGE...: installs those that are missing. Says what it needs if it may not.
setup_packages() {
    local missing as_root
    if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
        echo "setup: this is no Debian; these packages of Debian 12 or their like are needed: $*" >&2
        return 0
    fi
    mapfile -t missing < <(setup_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    if ! as_root=$(setup_root); then
        echo "setup: not root and no sudo. Ask an administrator for: apt-get install ${missing[*]}" >&2
        return 1
    fi
    echo "setup: installing ${missing[*]}"
    # shellcheck disable=SC2086 # $as_root is empty or sudo with its options
    setup_install "$as_root" "${missing[@]}"
}

# The lists may be missing (a bare image) or older than what the mirrors still have.
setup_install() {
    local as_root=$1 log
    shift
    log=$(mktemp)
    # shellcheck disable=SC2086
    if ! compgen -G '/var/lib/apt/lists/*_Packages*' > /dev/null ||
        ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" > "$log" 2>&1; then
        $as_root apt-get update -q > "$log" 2>&1 &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >> "$log" 2>&1 ||
            { tail -n 20 "$log" >&2; rm -f "$log"; echo "setup: apt-get failed" >&2; return 1; }
    fi
    rm -f "$log"
}

# A java of another version first in PATH or in JAVA_HOME would build and run the engine; 17 is the least.
setup_java() {
    local java=${JAVA_HOME:+$JAVA_HOME/bin/}java version
    version=$("$java" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java.specification.version = //p')
    case $version in
        '' | 1.* | [0-9] | 1[0-6])
            JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64
            export JAVA_HOME
            ;;
    esac
}
