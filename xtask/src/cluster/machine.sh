#!/bin/busybox sh
# The first process of the cluster's node in a virtual machine: mounts what a node has, its disk too, joins the bridge's network,
# starts containerd and the kubelet, takes images in.
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root
if [ "$1" != again ]; then
    # runc cannot leave a root that the kernel unpacked: it is copied to one that can be left, and freed by switch_root.
    /bin/busybox --install -s /bin
    mkdir /new
    mount -t tmpfs -o size=90%,mode=755 tmpfs /new
    for entry in /*; do
        [ "$entry" = /new ] || cp -a "$entry" /new/
    done
    exec /new/bin/busybox switch_root /new /init again
fi
mkdir -p /proc /sys /dev /tmp /run /root /var/log /var/lib
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --make-rshared /
exec </dev/null >/dev/ttyS1 2>&1
for module in @MODULES@; do
    insmod "/modules/$module.ko" || echo "guest: no module $module"
done
# A node's disk keeps /var/lib over a boot, but for the state of what runs. What the archive has there is put on it anew.
mkdir -p /disk
mount -t ext4 /dev/vda /disk
[ ! -e /disk/filled ] || rm -r @DIRECTORY@/images
cp -a /var/lib/. /disk/
umount /disk
rm -r /var/lib/*
mount -t ext4 /dev/vda /var/lib
mkdir -p @DIRECTORY@/containerd/state /var/lib/observer
mount -t tmpfs tmpfs @DIRECTORY@/containerd/state
hostname @NODE@
ip link set lo up
ip link add name @BRIDGE@ type bridge
ip link set eth0 master @BRIDGE@
ip address add @ADDRESS@/24 dev @BRIDGE@
ip link set eth0 up
ip link set @BRIDGE@ up
ip route add default via @GATEWAY@
cd @DIRECTORY@ || exit

containerd --config @DIRECTORY@/containerd.toml &
until ctr --address @SOCKET@ version >/run/version 2>&1; do
    sleep 1
done
for archive in @DIRECTORY@/images/*.tar; do
    [ ! -e "$archive" ] || ctr --address @SOCKET@ --namespace k8s.io images import "$archive" && rm -f "$archive"
done
touch /var/lib/filled
echo "guest: images are in"
nc -ll -p @LOAD_PORT@ -e /bin/load &
kubelet @KUBELET@
echo "guest: the kubelet has ended"
poweroff -f
