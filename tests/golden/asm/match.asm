target host, 1 rules, 4 classes, 7 programs (0 every tick), 31 instructions
task fields: uid rss
string fields: comm exe cmdline

protect shells or cmdline ~ "/usr/lib/systemd/*", line 2, program 0, task
       0  match  p0, comm ~ dfa0 (6 states, 6 classes)
       1  match  p1, cmdline ~ dfa1 (19 states, 13 classes)
       2  or     p0, p0, p1
       3  end    p0

unprotect exe ~ /^\/opt\//, line 3, program 1, task
       0  match  p0, exe ~ dfa2 (7 states, 5 classes)
       1  end    p0

prefer comm ~ /hog$/, line 4, program 2, task
       0  match  p0, comm ~ dfa3 (4 states, 4 classes)
       1  end    p0

avoid uid in ("root", 33), line 5, program 3, task
       0  ldf    v0, uid
       1  ldk    v1, 0
       2  eq     p0, v0, v1
       3  jat    p0, 8
       4  ldf    v0, uid
       5  ldk    v1, 33
       6  eq     p1, v0, v1
       7  or     p0, p0, p1
       8  end    p0

rule match.policy:6, line 6
  if rss > 1GiB
  candidates, priority 0, cooldown 5.0 s, settle 10.0 s
  condition program 4, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  gt     p0, v0, v1
       3  end    p0
  nearness program 5, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  cgt    v0, v0, v1
       3  end    v0
  term rss > 1GiB, program 6, task
       0  ldf    v0, rss
       1  ldk    v1, 1073741824
       2  gt     p0, v0, v1
       3  ldf    v0, rss
       4  ldk    v1, 1073741824
       5  end    p0, v0, v1
  step SIGTERM it: signal 15, pick each 1024, group one
