target host, 2 rules, 0 classes, 11 programs (4 every tick), 98 instructions
host fields: mem.total mem.free
task fields: nice cputime

tick agg0 (host): program 0, host
       0  ldk    v0, 0.1
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  ldh    v1, mem.free
       4  lt     p0, v1, v0
       5  held   p0, p0, hold0 (host, 3.0 s)
       6  pv     v0, p0
       7  end    v0

tick hist0 (task, rate over 1.0 s, 11 slots): program 1, task
       0  ldf    v0, cputime
       1  end    v0

tick col0 (truth): program 2, task
       0  lda    v0, agg0
       1  ldk    v1, 0
       2  gt     p0, v0, v1
       3  jaf    p0, 10
       4  ldx    v0, hist0 (task, rate over 1.0 s, 11 slots)
       5  ldk    v1, 1e-07
       6  mul    v0, v0, v1
       7  ldk    v1, 95
       8  gt     p1, v0, v1
       9  and    p0, p0, p1
      10  held   p0, p0, hold1 (task, 30.0 s)
      11  end    p0

tick hist1 (task, sum over 10.0 s, 16 slots): program 3, task
       0  ldx    v0, hist0 (task, rate over 1.0 s, 11 slots)
       1  ldk    v1, 1e-07
       2  mul    v0, v0, v1
       3  ldk    v1, 50
       4  gt     p0, v0, v1
       5  pv     v0, p0
       6  end    v0

rule a, line 1
  if held(mem.free < 10%, 3s) and cpu > 95% for 30s and nice < 10
  candidates, priority 0, cooldown 5.0 s, settle 10.0 s
  condition program 4, task
       0  ldp    p0, col0
       1  jaf    p0, 6
       2  ldf    v0, nice
       3  ldk    v1, 10
       4  lt     p1, v0, v1
       5  and    p0, p0, p1
       6  end    p0
  nearness program 5, task
       0  ldk    v0, 0.1
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  ldh    v1, mem.free
       4  clt    v0, v1, v0
       5  cheld  v1, hold0 (host, 3.0 s)
       6  ldk    v2, 0.5
       7  mul    v1, v1, v2
       8  add    v1, v1, v2
       9  mul    v0, v0, v1
      10  ldx    v1, hist0 (task, rate over 1.0 s, 11 slots)
      11  ldk    v2, 1e-07
      12  mul    v1, v1, v2
      13  ldk    v2, 95
      14  cgt    v1, v1, v2
      15  min    v0, v0, v1
      16  cheld  v1, hold1 (task, 30.0 s)
      17  ldk    v2, 0.5
      18  mul    v1, v1, v2
      19  add    v1, v1, v2
      20  mul    v0, v0, v1
      21  ldf    v1, nice
      22  ldk    v2, 10
      23  clt    v1, v1, v2
      24  min    v0, v0, v1
      25  end    v0
  term held(mem.free < 10%, 3s) and cpu > 95% for 30s, feeds hold1, program 6, task
       0  ldp    p0, col0
       1  end    p0
  term nice < 10, program 7, task
       0  ldf    v0, nice
       1  ldk    v1, 10
       2  lt     p0, v0, v1
       3  ldf    v0, nice
       4  ldk    v1, 10
       5  end    p0, v0, v1
  step renice +5 it: renice +5, pick each 1024, group one

rule b, line 2
  if cpu > 50% 3 times within 10s
  candidates, priority 0, cooldown 5.0 s, settle 10.0 s
  condition program 8, task
       0  ldx    v0, hist1 (task, sum over 10.0 s, 16 slots)
       1  ldk    v1, 3
       2  ge     p0, v0, v1
       3  end    p0
  nearness program 9, task
       0  ldx    v0, hist0 (task, rate over 1.0 s, 11 slots)
       1  ldk    v1, 1e-07
       2  mul    v0, v0, v1
       3  ldk    v1, 50
       4  cgt    v0, v0, v1
       5  ldk    v1, 0.5
       6  mul    v0, v0, v1
       7  ldx    v1, hist1 (task, sum over 10.0 s, 16 slots)
       8  add    v0, v0, v1
       9  ldk    v1, 3
      10  div    v0, v0, v1
      11  ldk    v1, 1
      12  min    v0, v0, v1
      13  end    v0
  term cpu > 50%, program 10, task
       0  ldx    v0, hist0 (task, rate over 1.0 s, 11 slots)
       1  ldk    v1, 1e-07
       2  mul    v0, v0, v1
       3  ldk    v1, 50
       4  gt     p0, v0, v1
       5  ldx    v0, hist0 (task, rate over 1.0 s, 11 slots)
       6  ldk    v1, 1e-07
       7  mul    v0, v0, v1
       8  ldk    v1, 50
       9  end    p0, v0, v1
  step SIGTERM it: signal 15, pick each 1024, group one
