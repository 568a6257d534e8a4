target host, 1 rules, 0 classes, 9 programs (0 every tick), 91 instructions
host fields: swap.total swap.free psi.memory.full.avg10
task fields: uid age rss swap

rule g, line 1
  if psi.memory.full.avg10 > 20% and swap.free < 10% and rss > 1GiB and not uid < 1000 for 3 periods
  candidates, priority 0, cooldown 1 min, settle 10.0 s
  gate program 0, host
       0  ldh    v0, psi.memory.full.avg10
       1  ldk    v1, 20
       2  gt     p0, v0, v1
       3  jaf    p0, 12
       4  ldh    v0, swap.free
       5  ldh    v1, swap.total
       6  div    v0, v0, v1
       7  ldk    v1, 100
       8  mul    v0, v0, v1
       9  ldk    v1, 10
      10  lt     p1, v0, v1
      11  and    p0, p0, p1
      12  end    p0
  condition program 1, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  gt     p0, v0, v1
       3  jaf    p0, 9
       4  ldf    v0, uid
       5  ldk    v1, 1000
       6  lt     p1, v0, v1
       7  not    p1, p1
       8  and    p0, p0, p1
       9  held   p0, p0, hold0 (task, 3 periods)
      10  end    p0
  nearness program 2, task
       0  ldh    v0, psi.memory.full.avg10
       1  ldk    v1, 20
       2  cgt    v0, v0, v1
       3  ldh    v1, swap.free
       4  ldh    v2, swap.total
       5  div    v1, v1, v2
       6  ldk    v2, 100
       7  mul    v1, v1, v2
       8  ldk    v2, 10
       9  clt    v1, v1, v2
      10  min    v0, v0, v1
      11  ldf    v1, rss
      12  ldk    v2, 1073741824
      13  cgt    v1, v1, v2
      14  min    v0, v0, v1
      15  ldf    v1, uid
      16  ldk    v2, 1000
      17  lt     p0, v1, v2
      18  not    p0, p0
      19  cpv    v1, p0
      20  min    v0, v0, v1
      21  cheld  v1, hold0 (task, 3 periods)
      22  ldk    v2, 0.5
      23  mul    v1, v1, v2
      24  add    v1, v1, v2
      25  mul    v0, v0, v1
      26  end    v0
  term psi.memory.full.avg10 > 20%, feeds hold0, program 3, host
       0  ldh    v0, psi.memory.full.avg10
       1  ldk    v1, 20
       2  gt     p0, v0, v1
       3  ldh    v0, psi.memory.full.avg10
       4  ldk    v1, 20
       5  end    p0, v0, v1
  term swap.free < 10%, feeds hold0, program 4, host
       0  ldh    v0, swap.free
       1  ldh    v1, swap.total
       2  div    v0, v0, v1
       3  ldk    v1, 100
       4  mul    v0, v0, v1
       5  ldk    v1, 10
       6  lt     p0, v0, v1
       7  ldh    v0, swap.free
       8  ldh    v1, swap.total
       9  div    v0, v0, v1
      10  ldk    v1, 100
      11  mul    v0, v0, v1
      12  ldk    v1, 10
      13  end    p0, v0, v1
  term rss > 1GiB, feeds hold0, program 5, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  gt     p0, v0, v1
       3  ldf    v0, rss
       4  ldk    v1, 1073741824
       5  end    p0, v0, v1
  term uid < 1000, feeds hold0, program 6, task
       0  ldf    v0, uid
       1  ldk    v1, 1000
       2  lt     p0, v0, v1
       3  ldf    v0, uid
       4  ldk    v1, 1000
       5  end    p0, v0, v1
  step SIGTERM largest 2 by rss + swap where age > 10s: signal 15, pick largest 2, group one
    where program 7, task
       0  ldf    v0, age
       1  ldk    v1, 10000000000
       2  gt     p0, v0, v1
       3  end    p0
    by rss + swap program 8, task
       0  ldf    v0, rss
       1  ldf    v1, swap
       2  add    v0, v0, v1
       3  end    v0
