#!/bin/sh
# A CNI plugin for tests of the kubelet: one routed veth pair per pod, addresses counted up per node. No policy, no other node.
set -e
conf=$(cat)
ns=${CNI_NETNS##*/}
link=t$(printf %.8s "$CNI_CONTAINERID")
mkdir -p /var/lib/cni-test
echo "$CNI_COMMAND" >>/var/lib/cni-test/calls
case $CNI_COMMAND in
ADD)
  exec 9>/var/lib/cni-test/lock
  flock 9
  n=$(($(cat /var/lib/cni-test/last 2>/dev/null || echo 9) + 1))
  echo $n >/var/lib/cni-test/last
  flock -u 9
  node=$(hostname | tr -dc 0-9)
  ip=10.200.$node.$n
  ip link add "$link" type veth peer name eth0 netns "$ns"
  ip addr add 169.254.1.1/32 dev "$link"
  ip link set "$link" up
  ip route add "$ip/32" dev "$link"
  ip -n "$ns" addr add "$ip/32" dev eth0
  ip -n "$ns" link set eth0 up
  ip -n "$ns" route add 169.254.1.1 dev eth0
  ip -n "$ns" route add default via 169.254.1.1
  echo "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"$ip/32\"}]}"
  ;;
DEL)
  ip link del "$link" 2>/dev/null || true
  ;;
esac
