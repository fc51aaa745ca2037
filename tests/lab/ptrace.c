/* Copyright (c) 2026 the xswan.ipsec authors
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Preloaded into linux.uml, so that gateways boot on processors whose registers are larger than it knows.
 *
 * User-mode Linux before 6.13 has 2,696 bytes for the extended registers of a process (XSAVE), which is what AVX-512
 * takes. Linux gives out as much as fits (PTRACE_GETREGSET), but sets them only when it gets all (PTRACE_SETREGSET; else
 * EFAULT): with the 11,008 bytes of a processor with AMX, the first process of a gateway dies. Here the rest of the area
 * is handed in as zeros. No gateway uses it: its header, which lies in the part that is known, says so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define NT_X86_XSTATE 0x202 /* <elf.h> of some C libraries lacks it */

static long set_extended_registers(pid_t pid, struct iovec *given)
{
    static _Alignas(64) char area[65536]; /* the kernel of a gateway has one thread, and a stack of some pages */
    static size_t size;
    struct iovec whole = { area, sizeof area };

    if (size == 0) {
        if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &whole) < 0)
            return -1;
        size = whole.iov_len;
        memset(area, 0, size);
    }
    if (given->iov_len >= size)
        return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, given);
    memcpy(area, given->iov_base, given->iov_len);
    whole.iov_len = size;
    return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &whole);
}

/* ptrace(2) of the C library, but for that one request. */
long ptrace(enum __ptrace_request request, ...)
{
    long word, result;
    va_list arguments;

    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (request == PTRACE_SETREGSET && (uintptr_t)address == NT_X86_XSTATE)
        return set_extended_registers(pid, data);
    if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
        return syscall(SYS_ptrace, request, pid, address, data);
    /* the system call stores the word, the function returns it */
    result = syscall(SYS_ptrace, request, pid, address, &word);
    if (result < 0)
        return result;
    errno = 0;
    return word;
}
