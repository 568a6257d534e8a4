target host, 1 rules, 0 classes, 3 programs (0 every tick), 20 instructions
host fields: os.stalled

rule standing "the machine's clock stands", line 2
  if os.stalled > 30s for 5s
  host, priority 0, cooldown 10 min, settle 10.0 s
  condition program 0, host
       0  ldh    v0, os.stalled
       1  ldk    v1, 30000000000
       2  gt     p0, v0, v1
       3  held   p0, p0, hold0 (host, 5.0 s)
       4  end    p0
  nearness program 1, host
       0  ldh    v0, os.stalled
       1  ldk    v1, 30000000000
       2  cgt    v0, v0, v1
       3  cheld  v1, hold0 (host, 5.0 s)
       4  ldk    v2, 0.5
       5  mul    v1, v1, v2
       6  add    v1, v1, v2
       7  mul    v0, v0, v1
       8  end    v0
  term os.stalled > 30s, feeds hold0, program 2, host
       0  ldh    v0, os.stalled
       1  ldk    v1, 30000000000
       2  gt     p0, v0, v1
       3  ldh    v0, os.stalled
       4  ldk    v1, 30000000000
       5  end    p0, v0, v1
  step panic: panic, pick none, group one
  step after 30s restart: restart, pick none, group one, after 30.0 s
