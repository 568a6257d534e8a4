target vm, 3 rules, 0 classes, 13 programs (1 every tick), 102 instructions
host fields: mem.total os.stalled
task fields: policy cputime rss vsz

tick hist0 (task, rate over 1.0 s, 11 slots): program 0, task
       0  ldf    v0, cputime
       1  end    v0

rule a, line 3
  if rss > 1GiB for 5s
  candidates, priority 0, cooldown 1 min, settle 10.0 s
  condition program 1, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  gt     p0, v0, v1
       3  held   p0, p0, hold0 (task, 5.0 s)
       4  end    p0
  nearness program 2, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  cgt    v0, v0, v1
       3  cheld  v1, hold0 (task, 5.0 s)
       4  ldk    v2, 0.5
       5  mul    v1, v1, v2
       6  add    v1, v1, v2
       7  mul    v0, v0, v1
       8  end    v0
  term rss > 1GiB, feeds hold0, program 3, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  gt     p0, v0, v1
       3  ldf    v0, rss
       4  ldk    v1, 1073741824
       5  end    p0, v0, v1
  step limit memory.max 10% it: limit, pick each 1024, group one, memory.max to what a program says
    to program 4, host
       0  ldk    v0, 0.1
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  end    v0
  step limit memory.high 512MiB: limit, pick same, group one, memory.high to 536870912
  step limit pids.max 20: limit, pick same, group one, pids.max to 20
  step limit cpu.max 50%: limit, pick same, group one, cpu.max to 0.5
  step limit rlimit.cpu 10s: limit, pick same, group one, rlimit.cpu to 10
  step limit rlimit.rttime 5ms: limit, pick same, group one, rlimit.rttime to 5000
  step limit rlimit.as vsz + 64MiB: limit, pick same, group one, rlimit.as to what a program says
    to program 5, task
       0  ldf    v0, vsz
       1  ldk    v1, 67108864
       2  add    v0, v0, v1
       3  end    v0
  step limit rlimit.nofile unlimited: limit, pick same, group one, rlimit.nofile to inf
  step after 30s restore memory.max: limit, pick same, group one, after 30.0 s, memory.max as it was
  step restore cpu.max: limit, pick same, group one, cpu.max as it was

rule b, line 15
  if cpu > 95% and policy in ("fifo", "rr") for 10s
  candidates, priority 0, cooldown 1 min, settle 10.0 s
  condition program 6, task
       0  ldf    v0, policy
       1  ldk    v1, 1
       2  eq     p0, v0, v1
       3  jat    p0, 8
       4  ldf    v0, policy
       5  ldk    v1, 2
       6  eq     p1, v0, v1
       7  or     p0, p0, p1
       8  jaf    p0, 15
       9  ldx    v0, hist0 (task, rate over 1.0 s, 11 slots)
      10  ldk    v1, 1e-07
      11  mul    v0, v0, v1
      12  ldk    v1, 95
      13  gt     p1, v0, v1
      14  and    p0, p0, p1
      15  held   p0, p0, hold1 (task, 10.0 s)
      16  end    p0
  nearness program 7, task
       0  ldf    v0, policy
       1  ldk    v1, 1
       2  eq     p0, v0, v1
       3  cpv    v0, p0
       4  ldf    v1, policy
       5  ldk    v2, 2
       6  eq     p0, v1, v2
       7  cpv    v1, p0
       8  max    v0, v0, v1
       9  ldx    v1, hist0 (task, rate over 1.0 s, 11 slots)
      10  ldk    v2, 1e-07
      11  mul    v1, v1, v2
      12  ldk    v2, 95
      13  cgt    v1, v1, v2
      14  min    v0, v0, v1
      15  cheld  v1, hold1 (task, 10.0 s)
      16  ldk    v2, 0.5
      17  mul    v1, v1, v2
      18  add    v1, v1, v2
      19  mul    v0, v0, v1
      20  end    v0
  term cpu > 95%, feeds hold1, program 8, task
       0  ldx    v0, hist0 (task, rate over 1.0 s, 11 slots)
       1  ldk    v1, 1e-07
       2  mul    v0, v0, v1
       3  ldk    v1, 95
       4  gt     p0, v0, v1
       5  ldx    v0, hist0 (task, rate over 1.0 s, 11 slots)
       6  ldk    v1, 1e-07
       7  mul    v0, v0, v1
       8  ldk    v1, 95
       9  end    p0, v0, v1
  term policy in ("fifo", "rr"), feeds hold1, program 9, task
       0  ldf    v0, policy
       1  ldk    v1, 1
       2  eq     p0, v0, v1
       3  jat    p0, 8
       4  ldf    v0, policy
       5  ldk    v1, 2
       6  eq     p1, v0, v1
       7  or     p0, p0, p1
       8  ldf    v0, policy
       9  end    p0, v0
  step freeze it: freeze, pick each 1024, group one
  step after 5s thaw: thaw, pick same, group one, after 5.0 s

rule c, line 16
  if os.stalled > 30s
  host, priority 0, cooldown 10 min, settle 10.0 s
  condition program 10, host
       0  ldh    v0, os.stalled
       1  ldk    v1, 30000000000
       2  gt     p0, v0, v1
       3  end    p0
  nearness program 11, host
       0  ldh    v0, os.stalled
       1  ldk    v1, 30000000000
       2  cgt    v0, v0, v1
       3  end    v0
  term os.stalled > 30s, program 12, host
       0  ldh    v0, os.stalled
       1  ldk    v1, 30000000000
       2  gt     p0, v0, v1
       3  ldh    v0, os.stalled
       4  ldk    v1, 30000000000
       5  end    p0, v0, v1
  step nmi: nmi, pick none, group one
  step after 1min reset: reset, pick none, group one, after 1 min
