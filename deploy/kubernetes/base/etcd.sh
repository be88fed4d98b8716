#!/bin/sh
# The etcd of a cluster's mesh: `etcd.sh init` once, before anybody reaches it, then `etcd.sh serve`. Users have no password: a client is who its
# certificate says. `init` listens on the loopback of the pod only, and does nothing on a volume that is ready.
set -eu
DATA=${DATA:-/var/lib/bulkhead}
LOCAL=http://127.0.0.1:2379

start() {
  exec etcd --name "$CLUSTER" --data-dir "$DATA/etcd" --logger zap --log-level warn \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster "$CLUSTER=http://127.0.0.1:2380" --auto-compaction-retention 1 "$@"
}

init() {
  [ ! -e "$DATA/ready" ] || exit 0
  # What an earlier start left half-made holds nothing.
  rm -rf "$DATA/etcd"
  (start --listen-client-urls $LOCAL --advertise-client-urls $LOCAL) &
  bootstrap=$!
  trap 'kill $bootstrap 2>/dev/null || true' EXIT
  until ETCDCTL_API=3 etcdctl --endpoints $LOCAL --command-timeout=1s get health >/dev/null 2>&1; do sleep 0.2; done
  peers=
  for peer in $PEERS; do peers="$peers --peer $peer"; done
  # shellcheck disable=SC2086
  bulkhead etcd init --endpoints $LOCAL --cluster "$CLUSTER" $peers $INIT_FLAGS
  kill $bootstrap
  wait $bootstrap 2>/dev/null || true
  : >"$DATA/ready"
}

case "$1" in
  init) init ;;
  serve)
    start --listen-client-urls https://0.0.0.0:2379 --advertise-client-urls https://bulkhead-etcd:2379 \
      --listen-metrics-urls http://0.0.0.0:2381 \
      --client-cert-auth --trusted-ca-file /pki/ca.crt --cert-file /pki/etcd.crt --key-file /pki/etcd.key
    ;;
esac
