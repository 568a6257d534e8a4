target host, 3 rules, 0 classes, 25 programs (10 every tick), 187 instructions
host fields: mem.total
task fields: uid age cputime rss children
string fields: comm

tick agg0 (count): program 0, task
       0  ldf    v0, age
       1  ldk    v1, 1000000000
       2  lt     p0, v0, v1
       3  end    p0

tick agg1 (count, unknown as true): program 1, task
       0  ldf    v0, age
       1  ldk    v1, 1000000000
       2  lt     p0, v0, v1
       3  end    p0

tick agg2 (any): program 2, task
       0  match  p0, comm ~ dfa0 (8 states, 5 classes)
       1  end    p0

tick agg3 (sum): program 3, task
       0  ldf    v0, uid
       1  ldk    v1, 999
       2  gt     p0, v0, v1
       3  ldf    v0, rss
       4  end    p0, v0

tick agg4 (sum, unknown as true): program 4, task
       0  ldf    v0, uid
       1  ldk    v1, 999
       2  gt     p0, v0, v1
       3  ldf    v0, rss
       4  end    p0, v0

tick agg5 (max): program 5, task
       0  ldf    v0, uid
       1  ldk    v1, 0
       2  eq     p0, v0, v1
       3  ldf    v0, cputime
       4  end    p0, v0

tick agg6 (max, unknown as true): program 6, task
       0  ldf    v0, uid
       1  ldk    v1, 0
       2  eq     p0, v0, v1
       3  ldf    v0, cputime
       4  end    p0, v0

tick col0 (tree): program 7, task
       0  ldf    v0, rss
       1  end    v0

tick col1 (parent): program 8, task
       0  match  p0, comm ~ dfa1 (6 states, 5 classes)
       1  end    p0

tick col2 (ancestor): program 9, task
       0  match  p0, comm ~ dfa2 (6 states, 4 classes)
       1  end    p0

rule a, line 1
  if count(where age < 1s) > 2000 or any(comm ~ "stress*")
  host, priority 0, cooldown 5.0 s, settle 10.0 s
  condition program 10, host
       0  lda    v0, agg0
       1  ldk    v1, 2000
       2  gt     p0, v0, v1
       3  lda    v0, agg1
       4  ldk    v1, 2000
       5  gt     p1, v0, v1
       6  or     p2, p0, p1
       7  and    p0, p0, p1
       8  pset   p1, unknown
       9  and    p1, p1, p2
      10  or     p0, p0, p1
      11  lda    v0, agg2
      12  ldk    v1, 0
      13  gt     p1, v0, v1
      14  or     p0, p0, p1
      15  end    p0
  nearness program 11, host
       0  lda    v0, agg0
       1  ldk    v1, 2000
       2  cgt    v0, v0, v1
       3  lda    v1, agg2
       4  ldk    v2, 0
       5  gt     p0, v1, v2
       6  cpv    v1, p0
       7  max    v0, v0, v1
       8  end    v0
  term count(where age < 1s) > 2000, program 12, host
       0  lda    v0, agg0
       1  ldk    v1, 2000
       2  gt     p0, v0, v1
       3  lda    v0, agg1
       4  ldk    v1, 2000
       5  gt     p1, v0, v1
       6  or     p2, p0, p1
       7  and    p0, p0, p1
       8  pset   p1, unknown
       9  and    p1, p1, p2
      10  or     p0, p0, p1
      11  lda    v0, agg0
      12  ldk    v1, 2000
      13  end    p0, v0, v1
  term any(comm ~ "stress*"), program 13, host
       0  lda    v0, agg2
       1  ldk    v1, 0
       2  gt     p0, v0, v1
       3  end    p0
  step SIGSTOP tree of newest where children > 50: signal 19, pick newest 1, group tree
    where program 14, task
       0  ldf    v0, children
       1  ldk    v1, 50
       2  gt     p0, v0, v1
       3  end    p0

rule b, line 2
  if sum(rss where uid > 999) > 80% and max(cputime where uid == 0) > 1h
  host, priority 0, cooldown 5.0 s, settle 10.0 s
  condition program 15, host
       0  ldk    v0, 0.8
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  lda    v1, agg3
       4  gt     p0, v1, v0
       5  ldk    v0, 0.8
       6  ldh    v1, mem.total
       7  mul    v0, v0, v1
       8  lda    v1, agg4
       9  gt     p1, v1, v0
      10  or     p2, p0, p1
      11  and    p0, p0, p1
      12  pset   p1, unknown
      13  and    p1, p1, p2
      14  or     p0, p0, p1
      15  jaf    p0, 28
      16  lda    v0, agg5
      17  ldk    v1, 3600000000000
      18  gt     p1, v0, v1
      19  lda    v0, agg6
      20  ldk    v1, 3600000000000
      21  gt     p2, v0, v1
      22  or     p3, p1, p2
      23  and    p1, p1, p2
      24  pset   p2, unknown
      25  and    p2, p2, p3
      26  or     p1, p1, p2
      27  and    p0, p0, p1
      28  end    p0
  nearness program 16, host
       0  ldk    v0, 0.8
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  lda    v1, agg3
       4  cgt    v0, v1, v0
       5  lda    v1, agg5
       6  ldk    v2, 3600000000000
       7  cgt    v1, v1, v2
       8  min    v0, v0, v1
       9  end    v0
  term sum(rss where uid > 999) > 80%, program 17, host
       0  ldk    v0, 0.8
       1  ldh    v1, mem.total
       2  mul    v0, v0, v1
       3  lda    v1, agg3
       4  gt     p0, v1, v0
       5  ldk    v0, 0.8
       6  ldh    v1, mem.total
       7  mul    v0, v0, v1
       8  lda    v1, agg4
       9  gt     p1, v1, v0
      10  or     p2, p0, p1
      11  and    p0, p0, p1
      12  pset   p1, unknown
      13  and    p1, p1, p2
      14  or     p0, p0, p1
      15  lda    v0, agg3
      16  ldk    v1, 0.8
      17  ldh    v2, mem.total
      18  mul    v1, v1, v2
      19  end    p0, v0, v1
  term max(cputime where uid == 0) > 1h, program 18, host
       0  lda    v0, agg5
       1  ldk    v1, 3600000000000
       2  gt     p0, v0, v1
       3  lda    v0, agg6
       4  ldk    v1, 3600000000000
       5  gt     p1, v0, v1
       6  or     p2, p0, p1
       7  and    p0, p0, p1
       8  pset   p1, unknown
       9  and    p1, p1, p2
      10  or     p0, p0, p1
      11  lda    v0, agg5
      12  ldk    v1, 3600000000000
      13  end    p0, v0, v1
  step SIGTERM user of largest by tree(rss): signal 15, pick largest 1, group user
    by tree(rss) program 19, task
       0  ldc    v0, col0
       1  end    v0

rule c, line 3
  if parent(comm ~ "make*") and ancestor(comm == "sshd") and tree(rss) > 1GiB
  candidates, priority 0, cooldown 5.0 s, settle 10.0 s
  condition program 20, task
       0  ldp    p0, col1
       1  ldp    p1, col2
       2  and    p0, p0, p1
       3  jaf    p0, 8
       4  ldc    v0, col0
       5  ldk    v1, 1073741824
       6  gt     p1, v0, v1
       7  and    p0, p0, p1
       8  end    p0
  nearness program 21, task
       0  ldc    v0, col0
       1  ldk    v1, 1073741824
       2  cgt    v0, v0, v1
       3  ldp    p0, col1
       4  cpv    v1, p0
       5  ldp    p0, col2
       6  cpv    v2, p0
       7  min    v1, v1, v2
       8  min    v0, v0, v1
       9  end    v0
  term parent(comm ~ "make*"), program 22, task
       0  ldp    p0, col1
       1  end    p0
  term ancestor(comm == "sshd"), program 23, task
       0  ldp    p0, col2
       1  end    p0
  term tree(rss) > 1GiB, program 24, task
       0  ldc    v0, col0
       1  ldk    v1, 1073741824
       2  gt     p0, v0, v1
       3  ldc    v0, col0
       4  ldk    v1, 1073741824
       5  end    p0, v0, v1
  step SIGTERM it: signal 15, pick each 1024, group one
