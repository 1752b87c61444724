"""System-call numbers of the two supported machines, and which of them a sample may use.

Names not in the table are refused. Numbers are Linux's own (x86: arch/x86/entry/syscalls,
aarch64: include/uapi/asm-generic/unistd.h); a test compares them with the installed headers.
No filter is built here (seccomp.py does). Standard library only.
"""

from __future__ import annotations

#: AUDIT_ARCH values: what a filter sees as the machine.
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
#: Numbers from here on are newer than every program: answered ENOSYS, so that libc falls back.
FIRST_NEW = 424

# name x86_64 aarch64; "-" where the machine has no such call.
_ALLOWED = """
read 0 63; write 1 64; close 3 57; fstat 5 80; lseek 8 62; mmap 9 222; mprotect 10 226
munmap 11 215; brk 12 214; rt_sigaction 13 134; rt_sigprocmask 14 135; rt_sigreturn 15 139
pread64 17 67; pwrite64 18 68; readv 19 65; writev 20 66; preadv 295 69; pwritev 296 70
preadv2 327 286; pwritev2 328 287; sched_yield 24 124; mremap 25 216; msync 26 227
mincore 27 232; madvise 28 233; dup 32 23; dup2 33 -; dup3 292 24; nanosleep 35 101
getitimer 36 102; setitimer 38 103; getpid 39 172; sendfile 40 71; recvfrom 45 207
sendmsg 46 211; recvmsg 47 212; recvmmsg 299 243; shutdown 48 210; getsockname 51 204
getpeername 52 205; setsockopt 54 208; getsockopt 55 209; exit 60 93; exit_group 231 94
wait4 61 260; waitid 247 95; uname 63 160; flock 73 32; fsync 74 82; fdatasync 75 83
ftruncate 77 46; getcwd 79 17; chdir 80 49; fchdir 81 50; renameat 264 38; renameat2 316 276
mkdirat 258 34; unlinkat 263 35; linkat 265 37; symlinkat 266 36; readlinkat 267 78
umask 95 166; gettimeofday 96 169; getrlimit 97 163; getrusage 98 165; sysinfo 99 179
times 100 153; getuid 102 174; getgid 104 176; geteuid 107 175; getegid 108 177
getppid 110 173; setsid 112 157; setpgid 109 154; getpgid 121 155; getsid 124 156
getgroups 115 158; getresuid 118 148; getresgid 120 150; rt_sigpending 127 136
rt_sigtimedwait 128 137; rt_sigsuspend 130 133; sigaltstack 131 132; statfs 137 43
fstatfs 138 44; getpriority 140 141; sched_getaffinity 204 123; sched_getparam 143 121
sched_getscheduler 145 120; sched_get_priority_max 146 125; sched_get_priority_min 147 126
gettid 186 178; futex 202 98; getdents64 217 61; set_tid_address 218 96
restart_syscall 219 128; timer_create 222 107; timer_settime 223 110; timer_gettime 224 108
timer_getoverrun 225 109; timer_delete 226 111; clock_gettime 228 113; clock_getres 229 114
clock_nanosleep 230 115; epoll_create1 291 20; epoll_ctl 233 21; epoll_pwait 281 22
epoll_pwait2 441 441; openat 257 56; newfstatat 262 79; faccessat 269 48; faccessat2 439 439
statx 332 291; pselect6 270 72; ppoll 271 73; set_robust_list 273 99; get_robust_list 274 100
fallocate 285 47; timerfd_create 283 85; timerfd_settime 286 86; timerfd_gettime 287 87
signalfd4 289 74; eventfd2 290 19; pipe2 293 59; getrandom 318 278; membarrier 324 283
rseq 334 293; close_range 436 436; fadvise64 221 223; getcpu 309 168; capget 125 90
open 2 -; stat 4 -; lstat 6 -; poll 7 -; access 21 -; pipe 22 -; select 23 -; alarm 37 -
pause 34 -; getpgrp 111 -; creat 85 -; rename 82 -; mkdir 83 -; rmdir 84 -; link 86 -
unlink 87 -; symlink 88 -; readlink 89 -; arch_prctl 158 -; time 201 -; epoll_create 213 -
epoll_wait 232 -; eventfd 284 -; signalfd 282 -; getdents 78 -
"""

# Allowed or not depending on arguments, level or mode: seccomp.py says how.
_SPECIAL = """
clone 56 220; clone3 435 435; fork 57 -; vfork 58 -; socketpair 53 199; sendto 44 206
ioctl 16 29; fcntl 72 25; prctl 157 167; prlimit64 302 261; kill 62 129; tgkill 234 131
sched_setaffinity 203 122; getxattr 191 8; lgetxattr 192 9; fgetxattr 193 10
listxattr 194 11; llistxattr 195 12; flistxattr 196 13
chmod 90 -; fchmod 91 52; fchmodat 268 53; chown 92 -; lchown 94 -; fchown 93 55
fchownat 260 54; utime 132 -; utimes 235 -; futimesat 261 -; utimensat 280 88
"""

# What a zygote needs between its own confinement and its children's; closed in every sample.
_ZYGOTE = """
unshare 272 97; setns 308 268; mount 165 40; umount2 166 39; capset 126 91; seccomp 317 277
landlock_restrict_self 446 446; pidfd_open 434 434; tkill 200 130
"""

# Used while a zygote confines itself, before any filter.
_SETUP = """
pivot_root 155 41; mount_setattr 442 442; landlock_create_ruleset 444 444
landlock_add_rule 445 445
"""


def _parse(table: str) -> dict[str, tuple[int | None, int | None]]:
    rows = (entry.split() for line in table.splitlines() for entry in line.split(";") if entry)
    return {
        name: (int(x86) if x86 != "-" else None, int(arm) if arm != "-" else None)
        for name, x86, arm in rows
    }


ALLOWED = frozenset(_parse(_ALLOWED))
SPECIAL = frozenset(_parse(_SPECIAL))
ZYGOTE = frozenset(_parse(_ZYGOTE))

_ALL = _parse(_ALLOWED) | _parse(_SPECIAL) | _parse(_ZYGOTE) | _parse(_SETUP)
#: machine -> name -> number.
NUMBERS: dict[str, dict[str, int]] = {
    arch: {name: row[column] for name, row in _ALL.items() if row[column] is not None}  # type: ignore[misc]
    for column, arch in enumerate(("x86_64", "aarch64"))
}
