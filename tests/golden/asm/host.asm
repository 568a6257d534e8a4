target host, 1 rules, 0 classes, 4 programs (0 every tick), 36 instructions
host fields: mem.total mem.available
task fields: rss

rule host.policy:1, line 1
  if mem.available < 5% for 2s until mem.available > 10%
  host, priority 7, cooldown 30.0 s, settle 5.0 s, limit 3 per 10 min, observe
  condition program 0, host
       0  ldk    v0, 0.05
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  ldh    v1, mem.available
       4  lt     p0, v1, v0
       5  held   p0, p0, hold0 (host, 2.0 s)
       6  ldk    v0, 0.1
       7  ldh    v1, mem.total
       8  mul    v0, v0, v1
       9  ldh    v1, mem.available
      10  gt     p1, v1, v0
      11  latch  p0, p0, p1, hold1 (host, latch)
      12  end    p0
  nearness program 1, host
       0  ldk    v0, 0.05
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  ldh    v1, mem.available
       4  clt    v0, v1, v0
       5  cheld  v1, hold0 (host, 2.0 s)
       6  ldk    v2, 0.5
       7  mul    v1, v1, v2
       8  add    v1, v1, v2
       9  mul    v0, v0, v1
      10  end    v0
  term mem.available < 5%, feeds hold0, program 2, host
       0  ldk    v0, 0.05
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  ldh    v1, mem.available
       4  lt     p0, v1, v0
       5  ldh    v0, mem.available
       6  ldk    v1, 0.05
       7  ldh    v2, mem.total
       8  mul    v1, v1, v2
       9  end    p0, v0, v1
  step SIGTERM largest: signal 15, pick largest 1, group one
    by rss program 3, task
       0  ldf    v0, rss
       1  end    v0
  step after 5s SIGKILL: signal 9, pick same, group one, after 5.0 s
