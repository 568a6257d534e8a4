#!/bin/bash
# SPDX-License-Identifier: MIT
#
# rehearse.sh BUNDLE [ARGUMENT...]: runs BUNDLE/run.sh with these arguments (default: --engine cpu --short rescue tick sixteen latency
# cost) in a root directory in which there is nothing but glibc, busybox, bash, python3 and the bundle: no QEMU, no library, no
# network. What works there works on a GPU machine, but for the GPU. Needs root. REHEARSAL=DIR: there, and kept.
set -eu
bundle=$(cd "${1:?usage: rehearse.sh BUNDLE [ARGUMENT...]}" && pwd)
shift
[ $# -gt 0 ] || set -- --engine cpu --short rescue tick sixteen latency cost
[ "$(id -u)" = 0 ] || { echo "rehearse.sh: root is needed for a root directory of its own" >&2; exit 1; }
r=${REHEARSAL:-$(mktemp -d)}
[ -n "${REHEARSAL:-}" ] || trap 'rm -rf "$r"' EXIT
mkdir -p "$r"/{bin,usr/bin,proc,sys,dev,tmp,lib64,lib/x86_64-linux-gnu,usr/lib,py/lib,bundle,etc}
m=/lib/x86_64-linux-gnu
cp -L /lib64/ld-linux-x86-64.so.2 "$r/lib64/"
for l in c m pthread dl rt resolv util gcc_s; do cp -L $m/lib$l.so.[0-9]* "$r$m/" 2>/dev/null || true; done
cp -L $m/libnss_files.so.2 "$r$m/" 2>/dev/null || true
cp "$(command -v busybox)" "$r/bin/busybox"
for t in $("$r/bin/busybox" --list); do [ "$t" = busybox ] || ln -sf busybox "$r/bin/$t"; done

# Bash and python with libraries that only they see: else they would stand in for what the bundle has forgotten.
private() { # private NAME FILE
	mkdir -p "$r/py/$1"
	cp -L "$2" "$r/py/$1/$1"
	ldd "$2" "${@:3}" | sed -nE 's/.*=> (\/[^ ]+).*/\1/p' | sort -u | while IFS= read -r l; do cp -L "$l" "$r/py/lib/"; done
}
private bash "$(command -v bash)"
private python3 "$(readlink -f /usr/bin/python3)" /usr/lib/python3.*/lib-dynload/*.so
cp -r /usr/lib/python3.* "$r/usr/lib/"
rm -f "$r"/bin/{bash,python3,cpio,xz}
# Started through the loader: the path of libraries is not handed on.
cat >"$r/py/start.c" <<-'C'
	#include <string.h>
	#include <unistd.h>
	int main(int n, char **v)
	{
		char *name = strrchr(v[0], '/') ? strrchr(v[0], '/') + 1 : v[0];
		char *a[n + 6], file[64] = "/py/";
		int k = 0;
		strcat(strcat(strcat(file, name), "/"), name);
		a[k++] = "ld.so", a[k++] = "--library-path", a[k++] = "/py/lib", a[k++] = "--argv0", a[k++] = v[0], a[k++] = file;
		for (int i = 1; i < n; i++)
			a[k++] = v[i];
		a[k] = 0;
		execv("/lib64/ld-linux-x86-64.so.2", a);
		return 127;
	}
C
gcc -O1 -w -static -o "$r/bin/bash" "$r/py/start.c"
cp "$r/bin/bash" "$r/usr/bin/python3"
cp "$bundle"/* "$r/bundle/" 2>/dev/null || cp -r "$bundle"/. "$r/bundle/"
# shellcheck disable=SC2016
unshare --mount --net --pid --fork bash -c '
	r=$1; shift
	mount --make-rprivate / && mount -t proc proc "$r/proc" && mount -t tmpfs dev "$r/dev" && mkdir "$r/dev/shm" &&
	mount -t tmpfs -o size=90% shm "$r/dev/shm" && mount -t tmpfs tmp "$r/tmp" || exit 1
	for n in null zero urandom random; do touch "$r/dev/$n"; mount --bind "/dev/$n" "$r/dev/$n"; done
	exec chroot "$r" /bin/bash -c "export PATH=/usr/bin:/bin HOME=/; exec /bundle/run.sh \"\$@\"" run "$@"' _ "$r" "$@"
rc=$?
echo "rehearse.sh: exit status $rc"
exit $rc
