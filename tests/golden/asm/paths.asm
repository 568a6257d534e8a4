target vm, 2 rules, 0 classes, 16 programs (4 every tick), 89 instructions
task fields: uid rss
kernel path 0: task->mm->map_count
kernel path 1: task->signal->rlim[7].rlim_cur

tick hist0 (task, rate over 5.0 s, 16 slots): program 0, task
       0  ldf    v0, task->mm->map_count
       1  end    v0

tick col0 (tree): program 1, task
       0  ldf    v0, task->signal->rlim[7].rlim_cur
       1  end    v0

tick agg0 (max): program 2, task
       0  ldf    v0, uid
       1  ldk    v1, 1000
       2  ge     p0, v0, v1
       3  ldf    v0, task->mm->map_count
       4  end    p0, v0

tick agg1 (max, unknown as true): program 3, task
       0  ldf    v0, uid
       1  ldk    v1, 1000
       2  ge     p0, v0, v1
       3  ldf    v0, task->mm->map_count
       4  end    p0, v0

rule paths.policy:3, line 3
  if task->mm->map_count > 60000 and rate(task->mm->map_count, 5s) > 10/s
  candidates, priority 0, settle 10.0 s
  condition program 4, task
       0  ldf    v0, task->mm->map_count
       1  ldk    v1, 60000
       2  gt     p0, v0, v1
       3  jaf    p0, 8
       4  ldx    v0, hist0 (task, rate over 5.0 s, 16 slots)
       5  ldk    v1, 10
       6  gt     p1, v0, v1
       7  and    p0, p0, p1
       8  end    p0
  nearness program 5, task
       0  ldf    v0, task->mm->map_count
       1  ldk    v1, 60000
       2  cgt    v0, v0, v1
       3  ldx    v1, hist0 (task, rate over 5.0 s, 16 slots)
       4  ldk    v2, 10
       5  cgt    v1, v1, v2
       6  min    v0, v0, v1
       7  end    v0
  term task->mm->map_count > 60000, program 6, task
       0  ldf    v0, task->mm->map_count
       1  ldk    v1, 60000
       2  gt     p0, v0, v1
       3  ldf    v0, task->mm->map_count
       4  ldk    v1, 60000
       5  end    p0, v0, v1
  term rate(task->mm->map_count, 5s) > 10/s, program 7, task
       0  ldx    v0, hist0 (task, rate over 5.0 s, 16 slots)
       1  ldk    v1, 10
       2  gt     p0, v0, v1
       3  ldx    v0, hist0 (task, rate over 5.0 s, 16 slots)
       4  ldk    v1, 10
       5  end    p0, v0, v1
  step log largest by tree(task->signal->rlim[7].rlim_cur): log, pick largest 1, group one
    by tree(task->signal->rlim[7].rlim_cur) program 8, task
       0  ldc    v0, col0
       1  end    v0
    note "" program 9, task
       0  ldf    v0, task->mm->map_count
       1  end    v0
    note " of " program 10, task
       0  ldf    v0, rss
       1  end    v0

rule paths.policy:5, line 5
  if available(task->mm->map_count) and max(task->mm->map_count where uid >= 1000) > 70000
  candidates, priority 0, settle 10.0 s
  gate program 11, host
       0  lda    v0, agg0
       1  ldk    v1, 70000
       2  gt     p0, v0, v1
       3  lda    v0, agg1
       4  ldk    v1, 70000
       5  gt     p1, v0, v1
       6  or     p2, p0, p1
       7  and    p0, p0, p1
       8  pset   p1, unknown
       9  and    p1, p1, p2
      10  or     p0, p0, p1
      11  end    p0
  condition program 12, task
       0  ldf    v0, task->mm->map_count
       1  known  p0, v0
       2  end    p0
  nearness program 13, task
       0  lda    v0, agg0
       1  ldk    v1, 70000
       2  cgt    v0, v0, v1
       3  ldf    v1, task->mm->map_count
       4  known  p0, v1
       5  cpv    v1, p0
       6  min    v0, v0, v1
       7  end    v0
  term available(task->mm->map_count), program 14, task
       0  ldf    v0, task->mm->map_count
       1  known  p0, v0
       2  end    p0
  term max(task->mm->map_count where uid >= 1000) > 70000, program 15, host
       0  lda    v0, agg0
       1  ldk    v1, 70000
       2  gt     p0, v0, v1
       3  lda    v0, agg1
       4  ldk    v1, 70000
       5  gt     p1, v0, v1
       6  or     p2, p0, p1
       7  and    p0, p0, p1
       8  pset   p1, unknown
       9  and    p1, p1, p2
      10  or     p0, p0, p1
      11  lda    v0, agg0
      12  ldk    v1, 70000
      13  end    p0, v0, v1
  step log: log, pick none, group one
