// A system-call filter (seccomp-bpf) without which a process could open a connection or look a name up.
//
// A filter sees a call's number and the values of its arguments, not what these point to. It cannot tell an address from
// another, so that it refuses by kind:
//
//   connect           always. No connection of any family, Unix sockets included.
//   socket            all but AF_UNIX and TCP on IPv4 and IPv6, which serving needs. So there is no UDP socket, with which
//                     the resolver asks, no raw, netlink, packet or vsock socket, and no SCTP or other kind that connects by
//                     sending.
//   sendto            with a destination, which TCP never needs.
//   sendto, sendmsg, sendmmsg with MSG_FASTOPEN, which connects a TCP socket by sending.
//   io_uring_*        its operations pass by the filter.
//   ptrace, process_vm_writev, pidfd_getfd     ways into other processes and to their sockets.
//   add_key, request_key, keyctl               the kernel looks names up for the key type "dns_resolver".
//   mount, fsopen, fsmount, move_mount, bpf, init_module, finit_module, kexec_*   the kernel connects for network file
//                     systems, and programs in the kernel are not filtered.
//
// What is left (AF_UNIX datagrams, accepted connections, listening) cannot reach another machine by itself.

#define _GNU_SOURCE
#include "walet_system.h"

#include <errno.h>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

// Calls that older headers do not name yet. From pidfd_send_signal on, numbers are the same on every architecture.
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#define SYS_io_uring_register 427
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_fsopen
#define SYS_fsopen 430
#endif
#ifndef SYS_fsmount
#define SYS_fsmount 432
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

enum { MAXIMUM = 256 };

// The program under construction. Every jump goes to a place a few instructions ahead that is known when it is written.
struct program {
    struct sock_filter code[MAXIMUM];
    int count;
};

static void add(struct program *program, uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t k) {
    if (program->count < MAXIMUM)
        program->code[program->count] = (struct sock_filter){code, if_true, if_false, k};
    program->count++;
}

static void load(struct program *program, size_t offset) {
    add(program, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void answer(struct program *program, uint32_t action) { add(program, BPF_RET | BPF_K, 0, 0, action); }

static void refuse(struct program *program, int code) { answer(program, SECCOMP_RET_ERRNO | (uint32_t)code); }

// The lower and the upper half of an argument; both architectures are little-endian.
static size_t low(int argument) { return offsetof(struct seccomp_data, args) + 8 * (size_t)argument; }
static size_t high(int argument) { return low(argument) + 4; }

// Before the rules of a call: others skip them. Returns the jump, for `end_of_call`.
static int call(struct program *program, long number) {
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)number);
    return program->count - 1;
}

// After the rules of a call, which have loaded an argument over the number.
static void end_of_call(struct program *program, int jump) {
    answer(program, SECCOMP_RET_ALLOW);
    if (jump < MAXIMUM) program->code[jump].jf = (uint8_t)(program->count - jump - 1);
}

static void refuse_call(struct program *program, long number, int code) {
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)number);
    refuse(program, code);
}

// Refuses the call where bits of an argument are set.
static void refuse_bits(struct program *program, int argument, uint32_t bits) {
    load(program, low(argument));
    add(program, BPF_JMP | BPF_JSET | BPF_K, 0, 1, bits);
    refuse(program, EACCES);
}

// Refuses the call where an argument is not a null pointer.
static void refuse_unless_null(struct program *program, int argument) {
    load(program, low(argument));
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0);
    load(program, high(argument));
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
    refuse(program, EACCES);
}

// Lets AF_UNIX and TCP through. The kernel reads all three arguments as int.
static void socket_rules(struct program *program) {
    load(program, low(0));
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, AF_UNIX);
    answer(program, SECCOMP_RET_ALLOW);
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, AF_INET);
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AF_INET6);
    refuse(program, EACCES);
    // The type without SOCK_CLOEXEC and SOCK_NONBLOCK.
    load(program, low(1));
    add(program, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xF);
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SOCK_STREAM);
    refuse(program, EACCES);
    load(program, low(2));
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 0);
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, IPPROTO_TCP);
    refuse(program, EACCES);
}

static void build(struct program *program, int forbid_programs) {
    program->count = 0;
    // Another architecture has other numbers for the same calls (32-bit calls from a 64-bit process): none of them.
    load(program, offsetof(struct seccomp_data, arch));
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, OWN_ARCHITECTURE);
    refuse(program, EACCES);
    load(program, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    // The x32 numbers, which are the same calls with this bit.
    add(program, BPF_JMP | BPF_JGE | BPF_K, 0, 1, 0x40000000);
    refuse(program, EACCES);
#endif

    refuse_call(program, SYS_connect, EACCES);

    int jump = call(program, SYS_socket);
    socket_rules(program);
    end_of_call(program, jump);

    jump = call(program, SYS_sendto);
    refuse_bits(program, 3, MSG_FASTOPEN);
    refuse_unless_null(program, 4);
    end_of_call(program, jump);

    jump = call(program, SYS_sendmsg);
    refuse_bits(program, 2, MSG_FASTOPEN);
    end_of_call(program, jump);

    jump = call(program, SYS_sendmmsg);
    refuse_bits(program, 3, MSG_FASTOPEN);
    end_of_call(program, jump);

    // As a kernel without it answers, so that libraries fall back to what is filtered.
    refuse_call(program, SYS_io_uring_setup, ENOSYS);
    refuse_call(program, SYS_io_uring_enter, ENOSYS);
    refuse_call(program, SYS_io_uring_register, ENOSYS);

    static const long ways_around[] = {
        SYS_ptrace,      SYS_process_vm_writev, SYS_pidfd_getfd,  SYS_add_key,    SYS_request_key,
        SYS_keyctl,      SYS_mount,             SYS_fsopen,       SYS_fsmount,    SYS_move_mount,
        SYS_bpf,         SYS_init_module,       SYS_finit_module, SYS_kexec_load,
#ifdef SYS_kexec_file_load
        SYS_kexec_file_load,
#endif
    };
    for (size_t index = 0; index < sizeof ways_around / sizeof *ways_around; index++)
        refuse_call(program, ways_around[index], EACCES);

    if (forbid_programs) {
        refuse_call(program, SYS_execve, EACCES);
        refuse_call(program, SYS_execveat, EACCES);
    }
    answer(program, SECCOMP_RET_ALLOW);
}

int walet_sovereign_install(int forbid_programs, long *failed_thread) {
    *failed_thread = 0;
    struct program program;
    build(&program, forbid_programs);
    if (program.count > MAXIMUM) return E2BIG;
    // Without this only root may filter, and a program with more rights could be started. It goes to the other threads
    // with the filter.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    struct sock_fprog filter = {.len = (unsigned short)program.count, .filter = program.code};
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
    if (result < 0) return errno;
    if (result > 0) {
        *failed_thread = result;
        return EBUSY;
    }
    return 0;
}

int walet_try_fast_open(uint16_t port) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return errno;
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct iovec part = {.iov_base = "x", .iov_len = 1};
    struct msghdr message = {
        .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &part, .msg_iovlen = 1};
    // By both calls: a hole in the rules of either would show.
    long sent = sendto(descriptor, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address);
    int code = sent >= 0 ? 0 : errno;
    if (code == EACCES) {
        sent = sendmsg(descriptor, &message, MSG_FASTOPEN | MSG_NOSIGNAL);
        code = sent >= 0 ? 0 : errno;
    }
    close(descriptor);
    return code;
}

int walet_try_io_uring(void) {
    char parameters[256];
    memset(parameters, 0, sizeof parameters);
    long descriptor = syscall(SYS_io_uring_setup, 1, parameters);
    if (descriptor < 0) return errno;
    close((int)descriptor);
    return 0;
}

#else

int walet_sovereign_install(int forbid_programs, long *failed_thread) {
    (void)forbid_programs;
    *failed_thread = 0;
    return ENOSYS;
}

int walet_try_fast_open(uint16_t port) {
    (void)port;
    return ENOSYS;
}

int walet_try_io_uring(void) { return ENOSYS; }

#endif
