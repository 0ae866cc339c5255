#!/usr/bin/env bash
# Gives this machine a working Docker engine where none runs and no image registry can be reached.
#
#   .ci/docker-engine.sh            start the engine, make the two base images below if they are missing
#   .ci/docker-engine.sh --stop     stop an engine that this script started
#
# Base images (stand-ins with the public names, so that Dockerfiles stay what a user with a registry would write):
#   debian:bookworm-slim      a minimal Debian from the package archive
#   node:24-bookworm-slim     the same plus Node 24 and npm
# Build with `docker build --network host …`, run with `--network host`; set TESTCONTAINERS_RYUK_DISABLED=true
# (its image cannot be pulled). Needs root and Debian. Idempotent. First run about 90 s, later runs about 1 s.
set -euo pipefail

state=/var/tmp/linecheck-docker
log() { printf 'docker-engine: %s\n' "$*" >&2; }

if [[ "${1:-}" == --stop ]]; then
  [[ -f $state/dockerd.pid ]] && kill "$(cat $state/dockerd.pid)" && rm -f "$state/dockerd.pid"
  exit 0
fi

mkdir -p "$state"
if ! docker info >/dev/null 2>&1; then
  if ! command -v dockerd >/dev/null; then
    log 'installing docker.io'
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables >"$state/apt.log" 2>&1
  fi
  if ! docker info >/dev/null 2>&1; then
    log 'starting dockerd'
    setsid dockerd >"$state/dockerd.log" 2>&1 </dev/null &
    echo $! >"$state/dockerd.pid"
    for _ in $(seq 60); do docker info >/dev/null 2>&1 && break; sleep 0.5; done
    docker info >/dev/null 2>&1 || { log "dockerd did not come up, see $state/dockerd.log"; tail -5 "$state/dockerd.log" >&2; exit 1; }
  fi
fi

if ! docker image inspect debian:bookworm-slim >/dev/null 2>&1; then
  log 'making debian:bookworm-slim'
  command -v debootstrap >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >>"$state/apt.log" 2>&1
  rm -rf "$state/rootfs"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$state/rootfs" >"$state/debootstrap.log" 2>&1
  rm -f "$state/rootfs/etc/apt/sources.list"
  cp /etc/apt/sources.list "$state/rootfs/etc/apt/" 2>/dev/null || true
  cp -r /etc/apt/sources.list.d "$state/rootfs/etc/apt/" 2>/dev/null || true
  cp -r /etc/apt/apt.conf.d/. "$state/rootfs/etc/apt/apt.conf.d/" 2>/dev/null || true
  cp -L /etc/ssl/certs/ca-certificates.crt "$state/rootfs/etc/ssl/certs/ca-certificates.crt"
  tar -C "$state/rootfs" -c . | docker import - debian:bookworm-slim >/dev/null
fi

if ! docker image inspect node:24-bookworm-slim >/dev/null 2>&1; then
  log 'making node:24-bookworm-slim'
  rm -rf "$state/node" && mkdir -p "$state/node/fetch" "$state/node/root/usr/local/bin" "$state/node/root/usr/local/lib/node_modules"
  (cd "$state/node/fetch" && npm init -y >/dev/null 2>&1 && npm install --no-audit --no-fund node@24 >"$state/npm.log" 2>&1)
  cp "$state/node/fetch/node_modules/node/bin/node" "$state/node/root/usr/local/bin/node"
  cp -r "$(npm root -g)/npm" "$state/node/root/usr/local/lib/node_modules/npm"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$state/node/root/usr/local/bin/npm"
  ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$state/node/root/usr/local/bin/npx"
  registry="$(npm config get registry)"
  printf 'registry=%s\ncafile=/etc/ssl/certs/ca-certificates.crt\n' "$registry" >"$state/node/root/usr/local/lib/node_modules/npm/npmrc"
  printf 'FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends libstdc++6 && rm -rf /var/lib/apt/lists/*\nCOPY root/ /\nRUN useradd --create-home --uid 1000 node\nCMD ["node"]\n' >"$state/node/Dockerfile"
  docker build --network host -q -t node:24-bookworm-slim "$state/node" >/dev/null
fi
docker image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep -E '^(debian:bookworm-slim|node:24-bookworm-slim) ' >&2
