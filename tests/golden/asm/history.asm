target host, 2 rules, 0 classes, 13 programs (5 every tick), 78 instructions
host fields: vm.oom_kill
task fields: rss anon swap

tick hist0 (task, rate over 1 min, 16 slots): program 0, task
       0  ldf    v0, rss
       1  end    v0

tick hist1 (task, avg over 10.0 s, 16 slots): program 1, task
       0  ldf    v0, anon
       1  end    v0

tick hist2 (task, max over 5.0 s, 16 slots): program 2, task
       0  ldf    v0, swap
       1  end    v0

tick hist3 (task, min over 5.0 s, 16 slots): program 3, task
       0  ldf    v0, swap
       1  end    v0

tick hist4 (host, delta over 10.0 s, 64 slots): program 4, host
       0  ldh    v0, vm.oom_kill
       1  end    v0

rule leak, line 1
  if rate(rss, 1min) > 1MiB/s and avg(anon, 10s) > 1GiB and max(swap, 5s) - min(swap, 5s) > 1MiB
  candidates, priority 0, cooldown 5.0 s, settle 10.0 s
  condition program 5, task
       0  ldx    v0, hist0 (task, rate over 1 min, 16 slots)
       1  ldk    v1, 1048576
       2  gt     p0, v0, v1
       3  jaf    p0, 8
       4  ldx    v0, hist1 (task, avg over 10.0 s, 16 slots)
       5  ldk    v1, 1073741824
       6  gt     p1, v0, v1
       7  and    p0, p0, p1
       8  jaf    p0, 15
       9  ldx    v0, hist2 (task, max over 5.0 s, 16 slots)
      10  ldx    v1, hist3 (task, min over 5.0 s, 16 slots)
      11  sub    v0, v0, v1
      12  ldk    v1, 1048576
      13  gt     p1, v0, v1
      14  and    p0, p0, p1
      15  end    p0
  nearness program 6, task
       0  ldx    v0, hist0 (task, rate over 1 min, 16 slots)
       1  ldk    v1, 1048576
       2  cgt    v0, v0, v1
       3  ldx    v1, hist1 (task, avg over 10.0 s, 16 slots)
       4  ldk    v2, 1073741824
       5  cgt    v1, v1, v2
       6  min    v0, v0, v1
       7  ldx    v1, hist2 (task, max over 5.0 s, 16 slots)
       8  ldx    v2, hist3 (task, min over 5.0 s, 16 slots)
       9  sub    v1, v1, v2
      10  ldk    v2, 1048576
      11  cgt    v1, v1, v2
      12  min    v0, v0, v1
      13  end    v0
  term rate(rss, 1min) > 1MiB/s, program 7, task
       0  ldx    v0, hist0 (task, rate over 1 min, 16 slots)
       1  ldk    v1, 1048576
       2  gt     p0, v0, v1
       3  ldx    v0, hist0 (task, rate over 1 min, 16 slots)
       4  ldk    v1, 1048576
       5  end    p0, v0, v1
  term avg(anon, 10s) > 1GiB, program 8, task
       0  ldx    v0, hist1 (task, avg over 10.0 s, 16 slots)
       1  ldk    v1, 1073741824
       2  gt     p0, v0, v1
       3  ldx    v0, hist1 (task, avg over 10.0 s, 16 slots)
       4  ldk    v1, 1073741824
       5  end    p0, v0, v1
  term max(swap, 5s) - min(swap, 5s) > 1MiB, program 9, task
       0  ldx    v0, hist2 (task, max over 5.0 s, 16 slots)
       1  ldx    v1, hist3 (task, min over 5.0 s, 16 slots)
       2  sub    v0, v0, v1
       3  ldk    v1, 1048576
       4  gt     p0, v0, v1
       5  ldx    v0, hist2 (task, max over 5.0 s, 16 slots)
       6  ldx    v1, hist3 (task, min over 5.0 s, 16 slots)
       7  sub    v0, v0, v1
       8  ldk    v1, 1048576
       9  end    p0, v0, v1
  step SIGTERM it: signal 15, pick each 1024, group one

rule oom, line 2
  if delta(vm.oom_kill, 10s) >= 1
  host, priority 0, settle 10.0 s
  condition program 10, host
       0  ldx    v0, hist4 (host, delta over 10.0 s, 64 slots)
       1  ldk    v1, 1
       2  ge     p0, v0, v1
       3  end    p0
  nearness program 11, host
       0  ldx    v0, hist4 (host, delta over 10.0 s, 64 slots)
       1  ldk    v1, 1
       2  ceq    v2, v0, v1
       3  cgt    v0, v0, v1
       4  max    v0, v0, v2
       5  end    v0
  term delta(vm.oom_kill, 10s) >= 1, program 12, host
       0  ldx    v0, hist4 (host, delta over 10.0 s, 64 slots)
       1  ldk    v1, 1
       2  ge     p0, v0, v1
       3  ldx    v0, hist4 (host, delta over 10.0 s, 64 slots)
       4  ldk    v1, 1
       5  end    p0, v0, v1
  step log: log, pick none, group one
