# SPDX-License-Identifier: MIT
"""
N rules for a guest, as an operator with many services would have them: the shapes of policies/*.policy, each with numbers
of its own and for one user or one service, by its name, so that no two have a program in common and none is covered by another. Nothing that a whole rule hangs on (target.kind, a single
comparison of the host that is false) stands before what it reads of each process, as far as the shipped rules do not have it so
themselves: a rule looks at every process in every tick. One in ten is true in every tick and selects a victim (in observe mode).

With quiet, what would be true needs one process more than there can be: nothing fires, which is what a watchdog's tick is
but for the few in which it acts.

  rules.py N [quiet]    prints them
"""
import sys


def rule(i, quiet=False):
    k = i // 10
    shape = i % 10
    whose = "uid == %d" % (1000 + i) if k % 2 == 0 else "comm ~ \"svc-%d-*\"" % i
    if shape == 0:  # as low-memory, and true: what a recovery costs is in the figure
        return "mem.available < 100%% and tasks.count > %d then SIGTERM largest by anon + swap where age > %dms settle 1ms cooldown 1ms observe" % (
            5000000 + k if quiet else 5 + k, 1 + k)
    if shape == 1:  # 20-low-memory, without its gate on the host
        return "anon + swap > %dMiB and %s for 3s then SIGTERM largest by anon + swap then after 10s SIGKILL cooldown 10s" % (900 + 7 * i, whose)
    if shape == 2:  # 30-leak
        return "age > 1min and delta(anon, %dmin) > %dMiB and %s then SIGTERM largest by delta(anon, %dmin) cooldown 2min" % (1 + k % 3, 128 + i, whose, 1 + k % 3)
    if shape == 3:  # 40-swap-thrash
        return "rate(majflt, 10s) > %d/s and anon + swap > %dMiB and %s for 5s then SIGTERM largest by anon cooldown 30s" % (20 + i, 64 + i, whose)
    if shape == 4:  # 50-fork-bomb
        return "count(where age < %ds and %s) > %d for 2s then SIGSTOP newest where uid >= 1000 then after 1s SIGKILL cooldown 5s" % (10 + k, whose, 2000 + i)
    if shape == 5:  # 60-runaway-cpu
        return "cpu > %d%% and nice < 10 and policy == \"other\" and %s for 10min then SIGTERM it cooldown 10min" % (90 + k % 10 * 9, whose)
    if shape == 6:  # 80-guests, by a signal
        return "policy in (\"fifo\", \"rr\") and cpu > %d%% and %s for %ds then SIGKILL it cooldown 1min" % (60 + k, whose, 2 + k)
    if shape == 7:  # one service's own
        return "comm ~ \"job-%d-*\" and rss > %dMiB then SIGTERM it cooldown 1min" % (i, 300 + i)
    if shape == 8:  # many threads
        return "threads > %d and oom_score_adj < %d and %s then SIGKILL largest by threads cooldown 1min" % (3000 + i, 500 + k, whose)
    return "state == \"D\" and rss > %dMiB and age > %dmin and %s for 2s then SIGKILL it cooldown 1min" % (16 + i, 1 + k, whose)


def rules(n, quiet=False):
    return "protect comm in (\"guestd\", \"sh\")\navoid uid < 100\n" + "".join("rule r%d if %s\n" % (i, rule(i, quiet)) for i in range(n))


if __name__ == "__main__":
    print(rules(int(sys.argv[1]), "quiet" in sys.argv[2:]), end="")
