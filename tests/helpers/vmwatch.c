/* SPDX-License-Identifier: MIT
 *
 * vmwatch [-q QMP | -r RAMFILE] [-k qtest|serial PATH]: a vm target without a daemon. Prints what the target says of
 * itself ("say LEVEL TEXT"), and takes commands on its standard input, each answered by one line:
 *   sample         a sample: "sample N tasks, clock NS" or "sample ERROR TEXT"
 *   kick CPU | nmi | reset      "kick 0" or "kick ERROR [TEXT]"
 *   state          gf_target_describe
 *   hold | drop    keeps a reference on the guest of now; gives it back: "hold BOOT", "drop BANNER"
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/vm.h"

static void say(void *arg, int level, const char *text)
{
	(void)arg;
	printf("say %d %s\n", level, text);
}

static struct gf_guest *held;

static void command(struct gf_target *t, char *line)
{
	struct gf_err err = { "" };
	char text[512];
	int r;

	line[strcspn(line, "\n")] = 0;
	if (!strcmp(line, "sample")) {
		r = gf_target_sample(t, &err);
		if (r)
			printf("sample %s %s\n", strerrorname_np(-r), err.text);
		else
			printf("sample %u tasks, clock %" PRIu64 "\n", t->sample.live, t->sample.now_ns);
	} else if (!strncmp(line, "kick ", 5)) {
		r = gf_vm_kick(t, (uint32_t)atoi(line + 5));
		printf("kick %s\n", r ? strerrorname_np(-r) : "0");
	} else if (!strcmp(line, "nmi") || !strcmp(line, "reset")) {
		r = *line == 'n' ? gf_vm_nmi(t, &err) : gf_vm_reset(t, &err);
		printf("%s %s %s\n", line, r ? strerrorname_np(-r) : "0", err.text);
	} else if (!strcmp(line, "state")) {
		printf("state %s\n", gf_target_describe(t, text, sizeof text));
	} else if (!strcmp(line, "hold")) {
		held = gf_vm_guest(t, &err);
		printf("hold %s%" PRIu64 "\n", err.text, held ? held->boot : 0);
	} else if (!strcmp(line, "drop") && held) {
		/* what it had can still be read */
		gf_kernel_still_there(held->kernel);
		printf("drop %s\n", held->kernel->banner);
		gf_guest_put(held);
		held = NULL;
	} else {
		printf("what? %s\n", line);
	}
}

int main(int argc, char **argv)
{
	struct gf_vm_opts o = { .name = "vm", .max_tasks = 4096, .say = say };
	struct gf_fieldset fields = { 0 };
	struct gf_target *t;
	struct gf_err err;
	char line[256];
	int c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt(argc, argv, "q:r:k:")) != -1)
		switch (c) {
		case 'q': o.qmp = optarg; break;
		case 'r': o.ram_file = optarg; break;
		case 'k':
			o.kick = *optarg == 'q' ? GF_KICK_QTEST : GF_KICK_SERIAL;
			o.kick_path = argv[optind++];
			break;
		default: return 2;
		}
	if (gf_vm_create(&o, &t, &err) || gf_target_set_fields(t, &fields, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	while (fgets(line, sizeof line, stdin))
		command(t, line);
	if (held)
		gf_guest_put(held);
	gf_target_destroy(t);
	puts("end");
	return 0;
}
