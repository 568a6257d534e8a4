# SPDX-License-Identifier: MIT
"""The policy of the shows in which things go wrong in a guest: what goes wrong, and who is ended for it."""

POLICY = """
protect comm in ("guestd", "sh") or comm ~ "t-sleep*"

rule memory "memory is nearly gone"
  if mem.available < 30% for 300ms until mem.available > 45%
  then SIGKILL largest where rate(rss, 1s) > 1MiB/s

rule realtime "a real-time process leaves nothing to the others"
  if policy in ("fifo", "rr") and cpu > 60% for 1s
  then SIGKILL it

rule hog "a process computes without end"
  if policy == "other" and cpu > 35% and rate(rss, 1s) < 1MiB/s for 2s
  then SIGTERM it
  then after {patience} SIGKILL

rule bomb "processes make processes"
  if count(where comm == "t-bomb") > 60 until count(where comm == "t-bomb") < 1
  then SIGKILL tree of oldest where comm == "t-bomb"
  settle 300ms
"""


def troubles_policy(patience):
    """patience: how long one who is sent SIGTERM has."""
    return POLICY.format(patience=patience)
