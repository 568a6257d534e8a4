// SPDX-License-Identifier: MIT
/*
 * libvirt keeps a file about each guest that runs, for itself and for root only: the monitor of ours that the domain's
 * XML asked for is in it, as
 *   <qemu:arg value='-qmp'/>
 *   <qemu:arg value='unix:PATH,server=on,wait=off'/>
 * Looked for as text: it is libvirt's own print, and two lines of it need no XML library.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/qmp_int.h"

#define XML_MAX (1u << 20)

static int slurp(const char *path, char **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char *s = fd < 0 ? NULL : malloc(XML_MAX);
	ssize_t n = s ? read(fd, s, XML_MAX - 1) : -1;
	int r = fd < 0 || (s && n < 0) ? -errno : s ? 0 : -ENOMEM;

	if (fd >= 0)
		close(fd);
	if (r) {
		free(s);
		return r;
	}
	s[n] = 0;
	*ret = s;
	return 0;
}

/* PATH of the first monitor: 0, or -ENOENT. */
static int find_monitor(const char *s, char *buf, size_t n)
{
	static const char option[] = "<qemu:arg value='-qmp'/>", arg[] = "<qemu:arg value='unix:";

	while ((s = strstr(s, option))) {
		size_t len;

		s += sizeof option - 1;
		s += strspn(s, " \t\r\n");
		if (strncmp(s, arg, sizeof arg - 1))
			continue;
		s += sizeof arg - 1;
		len = strcspn(s, ",'&<\n");
		if (*s != '/' || len >= n || (s[len] != ',' && s[len] != '\''))
			continue;
		memcpy(buf, s, len);
		buf[len] = 0;
		return 0;
	}
	return -ENOENT;
}

int gf_qmp_libvirt(const char *dir, const char *name, char *buf, size_t n, struct gf_err *err)
{
	char path[256], *s = NULL;
	int r;

	if (!*name || *name == '.' || strchr(name, '/') || strlen(name) > GF_QMP_LIBVIRT_NAME)
		return gf_err_set(err, EINVAL, "libvirt:%.64s: write libvirt: and the guest's name as virsh list shows it", name);
	snprintf(path, sizeof path, "%s/%s.xml", dir, name);
	r = slurp(path, &s);
	if (r == -ENOENT)
		return gf_err_set(err, ENOENT, "libvirt runs no guest %s (there is no %s)", name, path);
	if (r)
		return gf_err_set(err, -r, "%s: %s%s", path, strerror(-r), r == -EACCES ? ": run as root, or give the socket's path" : "");
	r = find_monitor(s, buf, n);
	free(s);
	return r ? gf_err_set(err, ENOTSUP, "the guest %s has no QMP socket beside libvirt's own, which serves libvirt alone: virsh edit it, put "
			      "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' into <domain> and, before </domain>, "
			      "<qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:/var/lib/libvirt/qemu/%s.gpufas,server=on,wait=off'/>"
			      "</qemu:commandline>", name, name) : 0;
}
