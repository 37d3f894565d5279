#!/bin/busybox sh
# The guest's first process: mounts what an agent finds on a host, tells how hooks load, runs the tests, powers off.
# A container's runtime puts another root in the place of this one, which a kernel refuses for its first root. The same directory,
# mounted over it, is another one.
if [ "$1" != mounted ] && [ -x /usr/bin/runc ]; then
    /bin/busybox mount --bind / /root
    cd /root || exit
    /bin/busybox mount --move . /
    exec /bin/busybox chroot . /init mounted
fi
export PATH=/usr/bin:/bin:/sbin HOME=/tmp RUST_BACKTRACE=0
export OBSERVER_BIN=/usr/bin/observer OBSERVER_FIXTURES=@FIXTURES@ OBSERVER_SKIPS=/tmp/skips
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing
exec </dev/null >/dev/@LINE@ 2>&1
if [ -f /modules/order ]; then
    for module in $(cat /modules/order); do
        insmod "/modules/$module.ko"
    done
    mount -t ext4 /dev/vda @DISK@
    export XDG_CACHE_HOME=@DISK@/@CACHE@ OBSERVER_COMPILED=@DISK@/@COMPILED@ CARGO_TARGET_DIR=@DISK@/@TARGET@
fi
for word in $(cat /proc/cmdline); do
    case "$word" in
    slower=*) export OBSERVER_SLOWER="${word#*=}" ;;
    esac
done
case "$(cat /proc/cmdline)" in
*cgroup=1*)
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/memory /sys/fs/cgroup/unified
    mount -t cgroup -o memory memory /sys/fs/cgroup/memory
    # As systemd does. Kernels before 5.11 hold a cgroup's limit against its children only then; newer ones always.
    echo 1 >/sys/fs/cgroup/memory/memory.use_hierarchy
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    ;;
*)
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ;;
esac
ip link set lo up
echo "guest: doctor auto $(observer doctor --json)"
echo "guest: doctor tracepoint $(observer doctor --json --hooks tracepoint)"
cd /tmp || exit
: >"$OBSERVER_SKIPS"
for test in /tests/*; do
    "$test" --test-threads=2 @FILTER@
    echo "guest: ended ${test##*/} $?"
done
while read -r line; do
    echo "guest: skipped $line"
done <"$OBSERVER_SKIPS"
echo "guest: finished"
sync
poweroff -f
