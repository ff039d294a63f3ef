#!/bin/busybox sh
# First program of the guest: finds this machine's file system (read only, by 9p), lays a memory over it and hands over to inside.sh.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
while read -r name; do $B insmod "/modules/$name.ko" || echo "guest: module $name not loaded"; done < /modules/order

for word in $($B cat /proc/cmdline); do
  case $word in axo.checkout=*) checkout=${word#*=} ;; axo.release=*) release=${word#*=} ;; axo.modules=*) modules=${word#*=} ;; esac
done
give_up() { echo "guest: $1"; $B poweroff -f; }
options=trans=virtio,version=9p2000.L,msize=512000
$B mount -t 9p -o "ro,cache=loose,$options" host /lower || give_up 'no host file system'
$B mount -t tmpfs -o size=75% tmpfs /upper
$B mkdir /upper/up /upper/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/upper/up,workdir=/upper/work overlay /new || give_up 'no overlay'
$B mkdir -p /new/run/axo-guest /new/lib/modules/"$release"
$B mount -t 9p -o "$options" out /new/run/axo-guest || give_up 'no folder for results'
$B mount --bind "/lower$modules" /new/lib/modules/"$release"
for d in proc sys dev; do $B mount --move /$d /new/$d; done
exec $B switch_root /new /bin/sh "$checkout/scripts/guest/inside.sh" "$checkout"
