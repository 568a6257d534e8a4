target host, 1 rules, 0 classes, 4 programs (0 every tick), 37 instructions
host fields: mem.total
task fields: nice rss

rule hog "uses too much", line 1
  if rss > 10% and nice < 10
  candidates, priority 0, cooldown 5.0 s, settle 10.0 s
  condition program 0, task
       0  ldk    v0, 0.1
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  ldf    v1, rss
       4  gt     p0, v1, v0
       5  jaf    p0, 10
       6  ldf    v0, nice
       7  ldk    v1, 10
       8  lt     p1, v0, v1
       9  and    p0, p0, p1
      10  end    p0
  nearness program 1, task
       0  ldk    v0, 0.1
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  ldf    v1, rss
       4  cgt    v0, v1, v0
       5  ldf    v1, nice
       6  ldk    v2, 10
       7  clt    v1, v1, v2
       8  min    v0, v0, v1
       9  end    v0
  term rss > 10%, program 2, task
       0  ldk    v0, 0.1
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  ldf    v1, rss
       4  gt     p0, v1, v0
       5  ldf    v0, rss
       6  ldk    v1, 0.1
       7  ldh    v2, mem.total
       8  mul    v1, v1, v2
       9  end    p0, v0, v1
  term nice < 10, program 3, task
       0  ldf    v0, nice
       1  ldk    v1, 10
       2  lt     p0, v0, v1
       3  ldf    v0, nice
       4  ldk    v1, 10
       5  end    p0, v0, v1
  step SIGKILL it: signal 9, pick each 1024, group one
