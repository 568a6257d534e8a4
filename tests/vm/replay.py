# SPDX-License-Identifier: MIT
"""The ticks that a daemon has recorded, simulated, give what it did: which rule did what to whom, in the same order."""
import glob
import json

from guest import ctl
from rescue import tap


def acts(events):
    return ["%s %s of %s at %s" % (e["kind"], e["rule"], e.get("pid", 0), e.get("start_ns", 0)) for e in events
            if e["kind"] in ("action", "held-back", "no-victim", "skipped") and e.get("rule")]


def replayed(dir, box, least, name):
    """Of a daemon that has stopped: its audit against its recording in the directory box, of at least so many actions. The recording's path."""
    boxes = glob.glob(box + "/*.gft")
    if not tap.ok(len(boxes) == 1, name + ": its ticks are recorded", boxes):
        return None
    with open(dir + "/audit.jsonl") as f:
        live = acts(json.loads(l) for l in f)
    rc, out, err = ctl("simulate", dir + "/rescue.policy", "--as-recorded", "--trace", boxes[0], "--json")
    simulated = acts(e["event"] for run in json.loads(out)["policies"] for e in run["events"]) if rc == 0 else [err]
    tap.ok(live == simulated and len([a for a in live if a.startswith("action")]) >= least, name + ": simulated, it is what it did, event by event",
           "\n".join(live + ["--- simulated:"] + simulated))
    return boxes[0]
