#!/usr/bin/env bash
# Install speechtl on a Raspberry Pi (Raspberry Pi OS or Debian 12 or newer) as a service that starts with the machine.
#
#   sudo device/install.sh computer.wake              the microphone loop: speechtl.service
#   sudo device/install.sh --serve computer.wake      the Wyoming server for Home Assistant: speechtl-serve.service
#   sudo device/install.sh --remove                   take everything away again but the settings and bundles
#
# It can be run again at any time: to update speechtl, to add bundles, or to add the other service. What is as it should
# be already is left alone, and /etc/speechtl/speechtl.conf is never overwritten.
set -euo pipefail
umask 022 # the services' user must be able to read all of it

readonly PREFIX=/opt/speechtl SETTINGS=/etc/speechtl UNITS=/etc/systemd/system ACCOUNT=speechtl
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

main() {
  local service=speechtl extra=mic bundles=()
  while (($#)); do
    case "$1" in
      --serve) service=speechtl-serve extra=zeroconf ;;
      --remove) remove && return ;;
      -h | --help) usage && return ;;
      -*) fail "Unknown option $1. See: $0 --help" ;;
      *) bundles+=("$1") ;;
    esac
    shift
  done
  check "${bundles[@]}"
  install_packages "$extra"
  create_user
  install_speechtl "$extra"
  copy_bundles "${bundles[@]}"
  write_settings
  install_unit "$service"
  start
}

changed=no # what runs must start again

usage() { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }
say() { printf '%s\n' "$*"; }
fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 2
}

# Refuse what cannot work before anything is changed.
check() {
  ((EUID == 0)) || fail "Run it as root: sudo $0 $*"
  command -v apt-get > /dev/null || fail "This is for Raspberry Pi OS and Debian; there is no apt-get here."
  [[ -f "$here/../pyproject.toml" ]] || fail "Run it from a checkout of speechtl: $here/../pyproject.toml is missing."
  [[ "$(dpkg --print-architecture)" != arm*[fl] ]] ||
    fail "This system is 32-bit. Take the 64-bit Raspberry Pi OS, or install by hand as device/README.md says."
  local bundle ascii
  for bundle in "$@"; do
    [[ -f "$bundle" ]] || fail "$bundle does not exist; give a bundle made with: speechtl export RUN -o NAME.wake"
    [[ "$bundle" == *.wake ]] || fail "$bundle is not a bundle; bundle names end with .wake"
    # Bytes beyond ASCII are letters of other scripts; the C locale, in which sudo may run this, knows none of them.
    ascii="$(LC_ALL=C tr -d '\200-\377\n' <<< "${bundle##*/}")"
    [[ "$ascii" != *[^[:alnum:]._-]* ]] || fail "$bundle: the settings can hold letters, digits and . _ - in a name only; rename it."
  done
  (($#)) || compgen -G "$SETTINGS/*.wake" > /dev/null || fail "Give at least one bundle: sudo $0 NAME.wake"
}

install_packages() {
  local needed=(python3-venv) missing=() package
  [[ "$1" != mic ]] || needed+=(libportaudio2)
  for package in "${needed[@]}"; do
    # shellcheck disable=SC2016 # dpkg-query fills in ${Status}, not the shell
    [[ "$(dpkg-query -W -f '${Status}' "$package" 2> /dev/null)" == "install ok installed" ]] || missing+=("$package")
  done
  if ((${#missing[@]})); then
    say "Installing Debian packages: ${missing[*]}"
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
  else
    say "Debian packages are there: ${needed[*]}"
  fi
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "speechtl needs Python 3.10 or newer; this is $(python3 --version). Take Raspberry Pi OS 12 (Bookworm) or newer."
}

create_user() {
  if id "$ACCOUNT" > /dev/null 2>&1; then
    say "The user $ACCOUNT is there"
  else
    say "Creating the user $ACCOUNT, which cannot log in"
    useradd --system --user-group --no-create-home --home-dir /var/lib/speechtl --shell /usr/sbin/nologin "$ACCOUNT"
  fi
}

# The environment holds what each installed service needs; it is left alone while the checkout is as it was.
install_speechtl() {
  local extras wanted
  # LiteRT takes less memory and time than ONNX Runtime, and the bundle prefers it where it is there.
  extras="$({ echo "$1"; echo tflite; cat "$PREFIX/share/extras" 2> /dev/null || true; } | sort -u | paste -sd, -)"
  wanted="$(cd "$here/.." && find pyproject.toml speechtl -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum) $extras"
  if [[ "$(cat "$PREFIX/share/installed" 2> /dev/null)" == "$wanted" ]]; then
    say "$("$PREFIX/bin/speechtl" --version) is there, with [$extras]"
    return
  fi
  if [[ ! -x "$PREFIX/bin/pip" ]]; then # also where one was interrupted
    say "Creating a Python environment in $PREFIX"
    python3 -m venv "$PREFIX"
  fi
  say "Installing speechtl[$extras] into $PREFIX; this takes some minutes"
  # From a copy, so that root leaves nothing in the checkout. Once with what it needs, and once more because pip would leave
  # an earlier commit of the same version in place.
  copy="$(mktemp -d)"
  trap 'rm -rf "$copy"' EXIT
  cp -r "$here"/../{pyproject.toml,README.md,LICENSE,speechtl} "$copy"
  "$PREFIX/bin/pip" install --quiet "${copy}[$extras]"
  "$PREFIX/bin/pip" install --quiet --no-deps --force-reinstall "$copy"
  install -D -m 644 "$here/README.md" "$PREFIX/share/README.md"
  tr ',' '\n' <<< "$extras" > "$PREFIX/share/extras"
  printf '%s\n' "$wanted" > "$PREFIX/share/installed"
  changed=yes
  say "Installed: $("$PREFIX/bin/speechtl" --version)"
}

copy_bundles() {
  install -d -m 755 "$SETTINGS"
  local bundle target
  for bundle in "$@"; do
    target="$SETTINGS/$(basename "$bundle")"
    say "Checking $bundle on this machine"
    "$PREFIX/bin/speechtl" verify "$bundle" || fail "$bundle does not work on this machine; nothing was started."
    if cmp -s "$bundle" "$target"; then
      say "$target is there"
    else
      say "Copying $bundle to $target"
      install -m 644 "$bundle" "$target.new"
      mv "$target.new" "$target"
      changed=yes
    fi
  done
}

write_settings() {
  local settings="$SETTINGS/speechtl.conf" bundle
  if [[ -e "$settings" ]]; then
    say "$settings is there and stays as it is"
    for bundle in "$SETTINGS"/*.wake; do
      grep -Eq "_BUNDLES=(.* )?($SETTINGS/?|$bundle)( |\$)" "$settings" || say "  to listen for $bundle, too, add it to LISTEN_BUNDLES or SERVE_BUNDLES there"
    done
    return
  fi
  say "Writing $settings"
  sed -e "s|@HOST@|$(hostname)|" "$here/speechtl.conf" > "$settings.new"
  mv "$settings.new" "$settings"
}

install_unit() {
  if cmp -s "$here/$1.service" "$UNITS/$1.service"; then
    say "$1.service is there"
  else
    say "Installing $UNITS/$1.service"
    install -m 644 "$here/$1.service" "$UNITS/$1.service"
    changed=yes
  fi
}

# Start with the machine, and now: every service that is installed, because all of them run what was installed just now.
start() {
  local service
  [[ ! -d /run/systemd/system ]] || systemctl daemon-reload
  for service in speechtl speechtl-serve; do
    [[ -e "$UNITS/$service.service" ]] || continue
    systemctl --quiet enable "$service.service"
    if [[ ! -d /run/systemd/system ]]; then
      say "systemd does not run here; $service.service will start with the machine"
    elif [[ "$changed" == no ]] && systemctl --quiet is-active "$service.service"; then
      say "$service.service runs"
    else
      say "Starting $service.service, now and with the machine"
      systemctl restart "$service.service" || fail "It did not start. See why: journalctl -u $service -n 20"
    fi
    say "  to watch it: journalctl -u $service -f"
  done
  say "Done."
}

remove() {
  ((EUID == 0)) || fail "Run it as root: sudo $0 --remove"
  local service
  for service in speechtl speechtl-serve; do
    [[ -e "$UNITS/$service.service" ]] || continue
    say "Removing $service.service"
    [[ ! -d /run/systemd/system ]] || systemctl stop "$service.service"
    systemctl --quiet disable "$service.service"
    rm -f "$UNITS/$service.service"
  done
  [[ ! -d /run/systemd/system ]] || systemctl daemon-reload
  if [[ -d "$PREFIX" ]]; then say "Removing $PREFIX" && rm -rf "$PREFIX"; fi
  if id "$ACCOUNT" > /dev/null 2>&1; then say "Removing the user $ACCOUNT" && userdel "$ACCOUNT"; fi
  rm -rf /var/cache/speechtl
  say "Done. Yours to keep or remove: $SETTINGS and /var/lib/speechtl"
}

main "$@"
