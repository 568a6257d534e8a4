/* SPDX-License-Identifier: MIT
 *
 * The control socket's protocol. Stream socket, mode 0660, group gpufas; JSON
 * objects, one a line, at most GF_CTL_MAX_LINE bytes. The daemon checks
 * SO_PEERCRED: uid 0 and members of the group; commands marked * want uid 0 or
 * the daemon's own uid.
 *
 * Request   {"v":1,"cmd":"status", ...}
 * Answer    {"v":1,"ok":true,"data":{...}}
 *       or  {"v":1,"ok":false,"error":"one sentence","diags":[...]}   (diags: reload only; gf_diags_json)
 *
 * "target":"name" picks one of the daemon's targets; without it the first, but where "all" is said.
 *
 * cmd       further members               data
 * ping      -                             {"pid":,"version":}
 * status    -                             see below
 * rules     "target"                      {"target":,"rules":[rule view]}
 * ps        "target", "paths":[PATH]      {"target":,"now_ns":,"epoch":,"host":{name:value},"tasks":[{field:value}]}; of guests also "paths",
 *                                         the kernel paths that tasks have: those of the policy, and those that are asked for
 *                                         (epoch: which boot of a guest; a task also has "start_ns" and "flags", enum gf_row_flags)
 * events    "last":N (20), "follow":bool,
 *           "rule":"name", "since_seq":N,
 *           "target" (all)                {"events":[event]}; with follow, then
 *                                         {"v":1,"event":{...}} a line until the client closes;
 *                                         {"v":1,"lost":N} where the client was too slow
 * explain   "event":SEQ or "rule":"name",
 *           "target" (first that has it)  {"event":{...}} or {"target":,"rule":{rule view}}
 * metrics   -                             {"text":"Prometheus exposition"}
 * reload *  -                             {"rules":N,"kept":N,"warnings":[...]}   (of all targets together)
 * observe * "on":bool, "target" (all; off: not
 *           those whose own mode is observe) {"observe":bool,"targets":[{"name","observe"}]}   (targets: of many)
 * signal *  "target","pid","signal","road"
 *           (auto|call|mailbox|store|irq-work) {"pid":,"signal":,"result":"sent"}; of a vm, and by the mailbox, also "text": what became of it, and
 *                                         "member": as in events
 * fields    "target", "path":"task->mm"   {"target":,"kind":,"release":,"path":,"prefix":,"members":[{"name","type","off","size",
 *                                         "pointer":bool,"number":bool,"next":"->|.|[|"}]}   (a bit field has "bit", "bits";
 *                                         names follow prefix; without path: only what the target is)
 *
 * status data: {"version","pid","uptime_s","mode":"enforce|observe","period_ns",
 *   "engine":{"kind":"cpu","why":"...","rt":bool,"mlocked":bool},
 *   "policy":{"files":[...],"rules":N,"fp":"hex","loaded_at":"RFC 3339","last_reload_error":"" },   (the first target's)
 *   "budget":{"used":N,"of":N,"window_s":N},   (the first target's)
 *   "targets":[{"name","kind","road","mode","state":"attached|waiting","release" (these two: of vm and image),"period_ns","policy":{...},"budget":{...},"tasks":N,"rows":N,"dropped":N,
 *      "ticks":N,"missed":N,"late":N,"overruns":N,"stale":bool,"sample_errors":N,"sample_error":"",
 *      "sample_us":x,"eval_us":x,"total_us":x,"total_max_us":x,"host":{field:value}}],
 *   "events":{"queued":N,"lost":N,"audit":"path or empty","audit_error":""},
 *   "recorder":{"directory" ("": nothing is recorded),"interval_s","size","keep_s","targets":[{"name","bytes","files","samples","failed",
 *      "oldest":"RFC 3339","error":""}]},
 *   "rss_bytes":N}
 *   mode: observe where all targets are.
 *
 * rule view: {"name","title","file","line","text","truth":"true|false|unknown","phase":"idle|steps|settle|cooldown",
 *   "closeness":0..1|null,"closest":{"pid","comm"}|null,"true_rows":N,"fired":N,"last_ago_s":x|null,"due_in_s":x|null,
 *   "steps":["SIGTERM largest where ...","after 5s SIGKILL"],
 *   "terms":[{"text","left":x|null,"right":x|null,"left_text","right_text","truth"}]}
 *
 * event: {"seq","time":"RFC 3339 with ns","target" (not of the daemon as a whole, where there are many),"kind":"action|no-victim|held-back|skipped|result|rule-on|rule-off|missed|daemon",
 *   "rule","step":"canonical text","observed":bool,"sentence":"one line for a person",
 *   "pid","comm","uid","start_ns","action":"SIGKILL|renice|...","held_back":"cooldown|limit|settle|budget|stale|busy",
 *   "terms":[as above],"ranks":[{"pid","comm","uid","key":x|null,"key_text","class":"preferred|plain|avoided|protected","why":"chosen|ranked-lower|...","by":"protect interactive (file:line)"}],
 *   "counts":{"candidates","never","protected","where","condemned","chosen","members"},
 *   "members":[{"pid","error":"","exit_us":N|null; in a vm also "how":"store|irq-work|limit|qmp",
 *      "became":"delivered|pending|refused|lost|unseen","tries":N}],"about":SEQ,"notify":"text","decide_us":x,
 *   "no_room":N (action: members of the group beyond what one action reaches),
 *   "unsaid":N (events of this rule left out before this one)}
 *   Members that do not apply to a kind are left out.
 */
#ifndef GPUFAS_CONTROL_H
#define GPUFAS_CONTROL_H

#define GF_CTL_VERSION 1
#define GF_CTL_MAX_LINE (1u << 20)     /* an answer may be longer: a request may not */
#define GF_CTL_MAX_CLIENTS 64
#define GF_CTL_SOCKET "/run/gpufas/control.sock"
#define GF_CTL_SOCKET_ENV "GPUFAS_SOCKET"
#define GF_CTL_GROUP "gpufas"
#define GF_VERSION "0.1.0"

#endif
