target host, 1 rules, 0 classes, 8 programs (0 every tick), 49 instructions
host fields: mem.total
task fields: pid pgrp rss swap
string fields: cgroup

rule n, line 1
  if rss between 1GiB and 2GiB and available(swap)
  candidates, priority 0, cooldown 5.0 s, settle 10.0 s
  condition program 0, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  ge     p0, v0, v1
       3  jaf    p0, 8
       4  ldf    v0, rss
       5  ldk    v1, 2147483648
       6  le     p1, v0, v1
       7  and    p0, p0, p1
       8  ldf    v0, swap
       9  known  p1, v0
      10  and    p0, p0, p1
      11  end    p0
  nearness program 1, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  ceq    v2, v0, v1
       3  cgt    v0, v0, v1
       4  max    v0, v0, v2
       5  ldf    v1, rss
       6  ldk    v2, 2147483648
       7  ceq    v3, v1, v2
       8  clt    v1, v1, v2
       9  max    v1, v1, v3
      10  min    v0, v0, v1
      11  ldf    v1, swap
      12  known  p0, v1
      13  cpv    v1, p0
      14  min    v0, v0, v1
      15  end    v0
  term rss >= 1GiB, program 2, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  ge     p0, v0, v1
       3  ldf    v0, rss
       4  ldk    v1, 1073741824
       5  end    p0, v0, v1
  term rss <= 2GiB, program 3, task
       0  ldf    v0, rss
       1  ldk    v1, 2147483648
       2  le     p0, v0, v1
       3  ldf    v0, rss
       4  ldk    v1, 2147483648
       5  end    p0, v0, v1
  term available(swap), program 4, task
       0  ldf    v0, swap
       1  known  p0, v0
       2  end    p0
  step SIGTERM pgrp of oldest: signal 15, pick oldest 1, group pgrp
  step notify "ended {comm}, pid {pid}, {rss} of {mem.total}": notify, pick same, group one
    note "ended " comm
    note ", pid " program 5, task
       0  ldf    v0, pid
       1  end    v0
    note ", " program 6, task
       0  ldf    v0, rss
       1  end    v0
    note " of " program 7, host
       0  ldh    v0, mem.total
       1  end    v0
  step run cleanup: run, pick same, group one, cleanup
    note "rule: " cgroup
